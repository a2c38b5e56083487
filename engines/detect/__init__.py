"""From frames to boxes: letterbox, network, decode, suppression."""
