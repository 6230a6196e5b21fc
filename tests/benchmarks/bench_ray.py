"""Shares fixed beforehand against Ray's balancing, on clips of very uneven length and a slow node.

    python tests/benchmarks/bench_ray.py --clips 160 --rounds 1

Two nodes of one core each, played by the first two cores of this machine: in one way two processes
with `--shard k/2` each on its core, in the other a Ray cluster of two workers each on its core.
Lengths are drawn log-normally, so that most clips are short and few are many times as long. With
`slow node` another program keeps the second core busy. Wall seconds from the start of the first
process to the end of the last, imports included; the Ray cluster itself is there beforehand.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from actionrnn.datasets.manifest import Manifest
from actionrnn.features.extract import ensure_features
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform
from actionrnn.video.writer import write_video

SETTINGS = FeatureSettings(
    BackboneConfig("mobilenet_v2", "random"),
    Sampling(mode="fps", num_frames=10_000, fps=8),
    Transform(size=224, resize="squash"),
)
FRAMES_PER_SECOND = 16


def main() -> None:
    """Alternate between the ways, and compare medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--work", nargs=3, metavar=("DATA", "FOLDER", "SHARE"), help="one process")
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        lengths = render(data, options.clips)
        print(f"{len(lengths)} clips of {lengths.min():.1f} to {lengths.max():.1f} s, half of them "
              f"under {np.median(lengths):.1f} s; shares of {lengths[::2].sum():.0f} "
              f"and {lengths[1::2].sum():.0f} s")  # fmt: skip
        for slow in (False, True):
            walls: dict[str, list[float]] = {"shares": [], "ray": []}
            for number in range(options.rounds):
                for way, found in walls.items():
                    with busy_core() if slow else nullcontext():
                        out = Path(folder, f"{way}{slow}{number}")
                        found.append(shares(data, out) if way == "shares" else ray(data, out))
            name = "slow node" if slow else "alike nodes"
            fixed, balanced = (median(found) for found in walls.values())
            print(f"{name}: shares {fixed:.0f} s, ray {balanced:.0f} s: shares take "
                  f"{fixed / balanced:.2f} of ray's time")  # fmt: skip


def render(data: Path, count: int) -> np.ndarray:
    """Videos of moving noise in `data`, with a manifest; their lengths in seconds, (count,)."""
    generator = np.random.default_rng(0)
    lengths_seconds = np.clip(generator.lognormal(np.log(2.0), 1.2, count), 0.5, 60.0)
    picture = generator.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    data.mkdir()
    for number, length in enumerate(lengths_seconds):
        moving = (np.roll(picture, k, axis=1) for k in range(int(length * FRAMES_PER_SECOND)))
        write_video(data / f"{number}.mp4", moving, FRAMES_PER_SECOND)
    table = pd.DataFrame(
        {
            "video_id": [str(number) for number in range(count)],
            "path": [f"{number}.mp4" for number in range(count)],
            "label": "noise",
            "split1": "train",
        }
    )
    Manifest(data, table, ["noise"]).save(data)
    return lengths_seconds


def work(data: str, folder: str, share: str) -> None:
    """What a process does: its share, or all of it on the cluster of RAY_ADDRESS."""
    manifest = Manifest.load(Path(data))
    if share == "ray":
        ensure_features(manifest, SETTINGS, Path(folder), engine="ray", progress=False)
    else:
        index = int(share)
        os.sched_setaffinity(0, {index})
        ensure_features(
            manifest, SETTINGS, Path(folder), num_workers=1, shard=(index, 2), progress=False
        )


def start(data: Path, folder: Path, share: str, **environment: str) -> "subprocess.Popen[bytes]":
    """`work` in a process of its own."""
    words = [sys.executable, __file__, "--work", str(data), str(folder), share]
    return subprocess.Popen(words, env={**os.environ, **environment})


def finish(running: list["subprocess.Popen[bytes]"]) -> None:
    """Wait until all have ended well."""
    for process in running:
        if process.wait():
            raise SystemExit(f"{process.args} ended with {process.returncode}")


def shares(data: Path, folder: Path) -> float:
    """Wall seconds of two processes, each with its share and its core."""
    started = time.perf_counter()
    finish([start(data, folder, str(index)) for index in range(2)])
    return time.perf_counter() - started


def ray(data: Path, folder: Path) -> float:
    """Wall seconds on a cluster of two nodes of one core, started beforehand."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_niceness": "0"}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for index in range(2):  # a node's processes stay on the core on which it was started
        os.sched_setaffinity(0, {index})
        cluster.add_node(num_cpus=1)
    os.sched_setaffinity(0, {0, 1})
    started = time.perf_counter()
    finish([start(data, folder, "ray", RAY_ADDRESS=cluster.address)])
    wall = time.perf_counter() - started
    cluster.shutdown()
    return wall


@contextmanager
def busy_core() -> Iterator[None]:
    """Another program on the second core."""
    loop = subprocess.Popen(
        [sys.executable, "-c", "import os; os.sched_setaffinity(0, {1})\nwhile True: pass"]
    )
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


if __name__ == "__main__":
    main()
