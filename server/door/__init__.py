"""The door: HTTP, ICE, DTLS, SRTP, access and events; it never decodes a picture."""
