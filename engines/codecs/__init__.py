"""Decoding and encoding, live and of files, by FFmpeg's libraries through PyAV."""
