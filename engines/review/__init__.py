"""What a person decides about the covers of a video before it is written."""
