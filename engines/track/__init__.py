"""From boxes in single frames to people over time."""
