"""A public dataset, or a folder of yours, becomes a manifest."""

PREPARERS = {
    "synthetic": "actionrnn.datasets.synthetic:prepare",
    "folder": "actionrnn.datasets.folder:prepare",
    "csv": "actionrnn.datasets.csv_table:prepare",
    "fights": "actionrnn.datasets.fights:prepare",
    "ucf101": "actionrnn.datasets.ucf101:prepare",
    "hmdb51": "actionrnn.datasets.hmdb51:prepare",
    "kinetics400": "actionrnn.datasets.kinetics:prepare400",
    "kinetics600": "actionrnn.datasets.kinetics:prepare600",
    "kinetics700": "actionrnn.datasets.kinetics:prepare700",
    "ssv2": "actionrnn.datasets.ssv2:prepare",
    "jester": "actionrnn.datasets.jester:prepare",
    "kth": "actionrnn.datasets.kth:prepare",
}
"""Name of each dataset and the function that prepares it; imported only when called."""
