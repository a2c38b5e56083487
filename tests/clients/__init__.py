"""Clients nobody here wrote."""
