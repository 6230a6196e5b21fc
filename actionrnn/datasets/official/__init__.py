"""One file a public dataset: its official form, read into a manifest."""
