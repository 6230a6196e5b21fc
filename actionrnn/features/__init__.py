"""Frames become frozen features on disk, once."""
