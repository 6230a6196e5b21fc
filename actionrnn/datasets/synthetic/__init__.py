"""The embedded dataset: an instrument for asking whether a model uses the order of frames."""
