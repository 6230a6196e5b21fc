"""Where a dataset comes from: downloads, archives, and the names in them."""
