"""Do recurrent heads find events in streams better than a sliding mean of the same features?

    python tests/benchmarks/bench_timelines.py stream --root FOLDER
    python tests/benchmarks/bench_timelines.py fights --root FOLDER --source SURVEILLANCE_FIGHTS \\
        --weights WEIGHTS.safetensors

`stream` renders the embedded streams; `fights` and `ut` compose streams from the real clips of
each part of a split (`compose_streams.py`). Every head is trained on every step of windows and
tested by `actionrnn test`; the sliding windows hold the last 4 or 16 steps of every step
(`--data.test_stride 1`), a mean of the features, and of the differences that the recurrent heads
see of real clips ("motion"). Prints a row a head: frame mAP, segment F1 at half overlap, median
onset latency, false alarms per hour, seconds of training.
"""

import argparse
import json
from pathlib import Path

from compose_streams import compose

from actionrnn.cli import main as actionrnn
from actionrnn.datasets.manifest import Manifest

WIDE = "--model.hidden_size=128"
MEAN = ["--model.head=mean_pool", "--data.test_stride=1"]
MOTION = ["--model.head=motion_mean_pool", "--data.test_stride=1"]
HEADS = {
    "GRU": ["--model.cell=gru", WIDE],
    "LSTM": ["--model.cell=lstm", WIDE],
    "minGRU": ["--model.cell=mingru", WIDE],
    "mean of 4": [*MEAN, "--data.window=4", "--data.stride=4"],
    "mean of 16": [*MEAN, "--data.window=16"],
    "motion of 4": [*MOTION, "--data.window=4", "--data.stride=4"],
    "motion of 16": [*MOTION, "--data.window=16"],
}
INPUTS = "--model.inputs=features,abs_delta"
# A few minutes of real video are soon learned by heart.
REAL = [
    "--model.dropout=0.5",
    "--model.input_dropout=0.5",
    "--model.weight_decay=0.05",
    "--model.learning_rate=0.001",
]
FIGURES = ("frame_map", "segment_f1_50", "found", "onset_seconds", "false_alarms_per_hour")
# Pointing is of one person alone: the nearest to nothing that these clips show.
BACKGROUNDS = {"fights": "noFight", "ut": "pointing"}


def prepared(options: argparse.Namespace) -> Path:
    """The folder of the streams, made if they are not there."""
    root = Path(options.root, options.data)
    if (root / "manifest.csv").is_file():
        return root
    if options.data == "stream":
        words = ["synthetic", "--variant=stream", f"--num_clips={options.clips}"]
        assert actionrnn(["prepare", *words, f"--root={root}"]) == 0
        return root
    clips = Path(options.root, f"{options.data}_clips")
    how = ["fights"] if options.data == "fights" else ["folder", "--group_regex=(seq[0-9]+)"]
    words = [*how, f"--source={options.source}", f"--root={clips}"]
    assert actionrnn(["prepare", *words]) == 0
    root.mkdir(parents=True, exist_ok=True)
    compose(Manifest.load(clips), "split1", BACKGROUNDS[options.data], root)
    return root


def main() -> None:
    """Make the streams; train and test every head."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=("stream", "fights", "ut"))
    parser.add_argument("--root", required=True)
    parser.add_argument("--source")
    parser.add_argument("--clips", type=int, default=320, help="actions of `stream`")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--fps", type=float, default=6)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--heads", nargs="+", default=list(HEADS), choices=list(HEADS))
    options = parser.parse_args()
    root = prepared(options)
    rows = []
    for name in options.heads:
        folder = Path(options.root, "runs", options.data, name.replace(" ", "_"))
        words = [
            f"--data.root={root}",
            f"--features.backbone.name={options.backbone}",
            f"--features.backbone.weights={options.weights}",
            f"--features.transform.size={options.size}",
            f"--features.sampling.fps={options.fps}",
            f"--trainer.max_epochs={options.epochs}",
            "--trainer.logger=false",
            f"--run.folder={folder}",
            "--run.overwrite=true",
            *HEADS[name],
        ]
        if options.data in BACKGROUNDS:
            words += REAL if "--model.head=mean_pool" in words else [*REAL, INPUTS]
        assert actionrnn(["fit", "--config=timelines", *words]) == 0
        assert actionrnn(["test", "--ckpt_path", str(folder)]) == 0
        figures = json.loads((folder / "metrics.json").read_text())
        seconds = json.loads((folder / "fit.json").read_text())["seconds"]
        rows.append((name, figures, seconds))
        print(json.dumps({"head": name, "seconds": seconds, **figures}), flush=True)
    print(f"\n{'head':12}" + "".join(f"{key:>24}" for key in FIGURES) + f"{'seconds':>10}")
    for name, figures, seconds in rows:
        cells = [f"{figures[key]:.3f}" if figures[key] is not None else "-" for key in FIGURES]
        print(f"{name:12}" + "".join(f"{cell:>24}" for cell in cells) + f"{seconds:10.1f}")


if __name__ == "__main__":
    main()
