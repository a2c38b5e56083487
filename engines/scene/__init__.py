"""The drawn test scene: performers on a stage, drawn by code, with the exact truth of every face."""
