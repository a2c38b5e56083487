"""What a person or a program uses to talk to Fancam: the command line, the page, the WHIP and WHEP clients."""
