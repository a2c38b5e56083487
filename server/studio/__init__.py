"""The studio: decode, detect, track, render and encode; it never opens a socket to the world."""
