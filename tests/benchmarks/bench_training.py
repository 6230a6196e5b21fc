"""Steps per second of `fit` against a bare PyTorch loop on the same tensors, at UCF101 size.

    python tests/benchmarks/bench_training.py --epochs 4

9,537 training clips of 16 x 512 and 3,783 validation clips are imported as a store. `fit` is
the command as users run it, with its checkpoints, logs and gradient clipping. The bare loop indexes
one tensor, computes the same head's loss and steps the same optimiser: no clipping, no schedule,
no check of the loss, no log. The two take ten steps each in turn.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from actionrnn.process import prepare_process

prepare_process()

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from actionrnn.datasets.manifest import Manifest
from actionrnn.features.resolve import imported_spec
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.store import FeatureStore
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.training import callbacks
from actionrnn.training.optim import decay_groups

NUM_TRAIN, NUM_VAL, FRAMES, DIM, CLASSES, BATCH = 9537, 3783, 16, 512, 101, 64
CHUNK = 10


def make_data(root: Path) -> Path:
    """A prepared dataset of UCF101's size with random features, imported as `import:random`."""
    count = NUM_TRAIN + NUM_VAL
    names = [f"c{number:05}" for number in range(count)]
    labels = [f"class{number % CLASSES:03}" for number in range(count)]
    table = pd.DataFrame({"video_id": names, "path": names, "label": labels, "group": names})
    table["split1"] = ["train"] * NUM_TRAIN + ["val"] * NUM_VAL
    table["content"] = ""
    Manifest(root, table, sorted(set(labels))).save()
    store = FeatureStore.create(root / "features", imported_spec("import:random"))
    draw = np.random.default_rng(0)
    for first in range(0, count, 1024):
        entries = [Entry(name, "s", FRAMES) for name in names[first : first + 1024]]
        values = [draw.standard_normal((1, FRAMES, DIM), np.float32) for _ in entries]
        write_shard(store.folder, list(zip(entries, values, strict=True)))
    return root


class Bare:
    """The bare loop, as many steps at a time as asked.

    Args:
        features_NTD, target_N: all training clips.
        head_options: of HeadConfig.
    """

    def __init__(self, features_NTD: Tensor, target_N: Tensor, **head_options: Any) -> None:
        self.features_NTD, self.target_N = features_NTD, target_N
        with torch.random.fork_rng():
            self.head = build_head(HeadConfig(**head_options), DIM, CLASSES)
        self.optimizer = torch.optim.AdamW(decay_groups(self.head, 0.01), lr=2e-3)
        self.lengths_B = torch.full((BATCH,), FRAMES)
        self.batches = torch.randperm(NUM_TRAIN).split(BATCH)[:-1]
        self.step = 0

    def run(self, count: int) -> None:
        """Take some steps."""
        for _ in range(count):
            rows = self.batches[self.step % len(self.batches)]
            self.step += 1
            self.optimizer.zero_grad()
            logits_BK = self.head(self.features_NTD[rows], self.lengths_B).logits_BK
            nn.functional.cross_entropy(logits_BK, self.target_N[rows]).backward()
            self.optimizer.step()


class Rival(pl.Callback):
    """Stops `fit` after every few steps and takes as many bare ones, so that both meet the same
    machine; part of the benchmark, not of `fit`."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.fit_steps: list[Moment] = []
        self.bare_steps: list[Moment] = []
        self.validations: list[float] = []
        self._since = now()

    def on_train_epoch_start(self, *args: Any) -> None:
        self._since = now()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step % CHUNK:
            return
        warm = trainer.current_epoch > 0
        if warm:
            self.fit_steps.append(now() - self._since)
        before = now()
        self.bare.run(CHUNK)
        if warm:
            self.bare_steps.append(now() - before)
        self._since = now()

    def on_validation_start(self, *args: Any) -> None:
        self._validating = time.perf_counter()

    def on_validation_end(self, *args: Any) -> None:
        self.validations.append(time.perf_counter() - self._validating)


class Moment(NamedTuple):
    """Seconds of the clock on the wall, and of this process's threads together."""

    wall: float
    cpu: float

    def __sub__(self, other: "Moment") -> "Moment":
        return Moment(self.wall - other.wall, self.cpu - other.cpu)


def now() -> Moment:
    return Moment(time.perf_counter(), time.process_time())


def fit(root: Path, words: list[str], epochs: int, rival: pl.Callback) -> None:
    """The command, with one callback more."""
    from actionrnn.cli import main

    setup = callbacks.EpochLines.setup
    callbacks.EpochLines.setup = lambda self, trainer, *_, **__: trainer.callbacks.append(rival)
    try:
        with tempfile.TemporaryDirectory() as folder:
            code = main([
                "fit", f"--data.root={root}", "--features.backbone.name=import:random", *words,
                f"--trainer.max_epochs={epochs}", f"--run.folder={folder}",
                f"--data.batch_size={BATCH}",
            ])  # fmt: skip
    finally:
        callbacks.EpochLines.setup = setup
    assert code == 0


def profile(root: Path, words: list[str]) -> None:
    """Where one `fit` spends its time, function by function."""
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.enable()
    fit(root, words, 3, pl.Callback())
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def compare(root: Path, name: str, options: argparse.Namespace) -> None:
    """Both ways for one head, a few steps in turn."""
    head = {"head": name} if name.startswith("mean") else {"cell": name}
    words = [f"--model.{key}={value}" for key, value in head.items()]
    if options.profile:
        profile(root, words)
        return
    store = FeatureStore.open(root / "features" / imported_spec("import:random").fingerprint)
    features_NTD, _ = store.gather([f"c{number:05}" for number in range(NUM_TRAIN)])
    rival = Rival(Bare(features_NTD, torch.arange(NUM_TRAIN) % CLASSES, **head))
    fit(root, words, options.epochs, rival)
    print(f"\n{name}: {len(rival.fit_steps)} chunks of {CHUNK} steps of {BATCH} clips")
    for kind in ("wall", "cpu"):
        of_fit, of_bare = (
            [getattr(each, kind) / CHUNK for each in steps]
            for steps in (rival.fit_steps, rival.bare_steps)
        )
        ratios = [b / f for b, f in zip(of_bare, of_fit, strict=True)]
        print(
            f"  {kind:4}  bare {1 / median(of_bare):6.1f} steps/s, fit {1 / median(of_fit):6.1f}, "
            f"fit / bare {median(of_bare) / median(of_fit):.2f} (of the chunks: quartiles "
            f"{np.quantile(ratios, 0.25):.2f}, {median(ratios):.2f}, "
            f"{np.quantile(ratios, 0.75):.2f})"
        )
    seconds = median(rival.validations)
    print(f"  validation {seconds:.2f} s an epoch, load {os.getloadavg()[0]:.1f}", flush=True)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", nargs="+", default=["lstm", "gru", "mingru", "mean_pool"])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = make_data(Path(folder))
        for cell in options.heads:
            compare(root, cell, options)


if __name__ == "__main__":
    main()
