"""A public dataset, or a folder of yours, becomes a manifest."""

PREPARERS = {
    "synthetic": "actionrnn.datasets.synthetic.prepare:prepare",
    "folder": "actionrnn.datasets.own.folder:prepare",
    "csv": "actionrnn.datasets.own.csv_table:prepare",
    "segments": "actionrnn.datasets.own.segments:prepare",
    "fights": "actionrnn.datasets.official.fights:prepare",
    "ucf101": "actionrnn.datasets.official.ucf101:prepare",
    "hmdb51": "actionrnn.datasets.official.hmdb51:prepare",
    "kinetics400": "actionrnn.datasets.official.kinetics:prepare400",
    "kinetics600": "actionrnn.datasets.official.kinetics:prepare600",
    "kinetics700": "actionrnn.datasets.official.kinetics:prepare700",
    "ssv2": "actionrnn.datasets.official.ssv2:prepare",
    "jester": "actionrnn.datasets.official.jester:prepare",
    "kth": "actionrnn.datasets.official.kth:prepare",
}
"""Name of each dataset and the function that prepares it; imported only when called."""
