"""A feature store of many clips: opening, a random clip, memory, pruning; and batches from memory.

python tests/benchmarks/bench_store.py --clips 1000000
python tests/benchmarks/bench_store.py --clips 10000000 --frames 1 --dim 16 --clips_per_shard 1024

A hundredth of the shards is written twice, so that there is something to prune.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from actionrnn.process import prepare_process

prepare_process()

import numpy as np
import torch

from actionrnn.features import admin, shard, store
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)


def generate(root: Path, num_clips: int, clips_per_shard: int, frames: int, dim: int) -> Path:
    """A store whose names and file states are as long as real ones."""
    folder = FeatureStore.create(root, SPEC).folder
    values = np.random.default_rng(0).standard_normal((1, frames, dim)).astype(np.float32)
    os.fsync = lambda descriptor: None  # only here: a million clips need not survive a cut
    stamps = iter(range(1, 10**9))
    shard._moment = lambda folder: next(stamps)
    for first in range(0, num_clips, clips_per_shard):
        clips = [
            (
                Entry(
                    f"v_Class_g{k % 25:02}_c{k:07}",
                    f"{500_000 + k}-{1790000000000000000 + k}",
                    frames,
                    content="0" * 32,
                ),
                values,
            )
            for k in range(first, min(first + clips_per_shard, num_clips))
        ]
        for _ in range(2 if first // clips_per_shard % 100 == 0 else 1):
            write_shard(folder, clips)
    return folder


def measure(folder: Path) -> dict[str, float]:
    """Open, read 2,000 random clips from the map, gather 200 batches of 64 from it, prune."""
    before = _memory_mib()
    started = time.perf_counter()
    opened = FeatureStore.open(folder)
    seconds_to_open = time.perf_counter() - started
    after = _memory_mib()
    ids = opened.video_ids
    chosen = [ids[k] for k in np.random.default_rng(1).integers(0, len(ids), 2000)]
    times = []
    for name in chosen:
        started = time.perf_counter()
        opened.read(name)
        times.append(time.perf_counter() - started)
    store.RAM_SHARE = 0.0  # from the map, as if it did not fit
    positions = opened.positions(ids)
    batches = [torch.randint(len(ids), (64,)) for _ in range(200)]
    started = time.perf_counter()
    for batch in batches:
        opened.gather(positions[batch])
    seconds_to_gather = time.perf_counter() - started
    at_the_end = _memory_mib()
    del opened
    started = time.perf_counter()
    pruned = admin.prune(folder, dry_run=True)
    return {
        "open_seconds": seconds_to_open,
        "index_mib": after - before,
        "peak_mib": _memory_mib("VmHWM"),
        "read_ms_median": median(times) * 1e3,
        "read_ms_99th": float(np.quantile(times, 0.99)) * 1e3,
        "mapped_batch_of_64_ms": seconds_to_gather / 200 * 1e3,
        "anonymous_mib_at_the_end": at_the_end,
        "prune_seconds": time.perf_counter() - started,
        "pruned_shards": len(pruned),
    }


def _memory_mib(what: str = "RssAnon") -> float:
    """Memory of this process, by default what is not a file's."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines[what].split()[0]) / 1024


def gather_from_memory() -> None:
    """Batches of 64 at UCF101 size: 9,537 clips, 16 x 512."""
    with tempfile.TemporaryDirectory() as root:
        folder = generate(Path(root), 9537, 1024, 16, 512)
        opened = FeatureStore.open(folder)
        positions = opened.positions(opened.video_ids)
        bare = torch.randn(9537, 16, 512)
        opened.gather(positions[:64])
        for _ in range(3):
            orders = torch.randperm(9537).split(64)
            started = time.perf_counter()
            for rows in orders:
                opened.gather(positions[rows])
            gathered = time.perf_counter() - started
            started = time.perf_counter()
            for rows in orders:
                bare[rows]
            indexed = time.perf_counter() - started
            print(
                f"an epoch of gathers, 9,537 x 16 x 512: {gathered * 1e3:.0f} ms; of bare tensor "
                f"indexing {indexed * 1e3:.0f} ms ({len(orders) / gathered:.0f} batches/s)"
            )


def main() -> None:
    """Parse and run; each measurement in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--clips_per_shard", type=int, nargs="+", default=[1024, 100])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder)))
        return
    gather_from_memory()
    for clips_per_shard in options.clips_per_shard:
        with tempfile.TemporaryDirectory() as root:
            folder = generate(
                Path(root), options.clips, clips_per_shard, options.frames, options.dim
            )
            size = sum(entry.stat().st_size for entry in os.scandir(folder)) / 2**30
            print(f"{options.clips} clips, {clips_per_shard} a shard, {size:.1f} GiB")
            command = [sys.executable, __file__, "--folder", str(folder)]
            for _ in range(3):
                found = json.loads(subprocess.check_output(command))
                print("  " + "  ".join(f"{name} {value:.3f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
