"""The server: the door (sockets, never a pixel) and the studio (pixels, never a socket to the world)."""
