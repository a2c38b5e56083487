"""Pulled sources: files, webcams and network addresses, each read in a process of its own and sent to the door undecoded where possible."""
