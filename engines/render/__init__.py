"""Pictures made from frames: redacted, cropped, drawn upon, and the slate."""
