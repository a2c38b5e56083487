"""One file a question; run by `fancam bench NAME`."""
