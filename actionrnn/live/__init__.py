"""Streams and long videos: frame by frame to scores, events and timelines; one path for both."""
