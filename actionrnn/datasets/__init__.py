"""A public dataset, or a folder of yours, becomes a manifest."""
