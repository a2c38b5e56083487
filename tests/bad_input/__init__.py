"""Bad input of every kind, beside a good stream."""
