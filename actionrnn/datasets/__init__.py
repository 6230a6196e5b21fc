"""A public dataset, or a folder of yours, becomes a manifest."""

PREPARERS = {
    "synthetic": "actionrnn.datasets.synthetic:prepare",
    "folder": "actionrnn.datasets.folder:prepare",
    "fights": "actionrnn.datasets.fights:prepare",
}
"""Name of each dataset and the function that prepares it; imported only when called."""
