"""How each family of networks says what it found: one small file a family."""
