"""Kill whole extractions at random moments, two at once in one store, and look at what is left.

    python tests/features/fault_trials.py DATA FOLDER --trials 60 --seed 1

Every trial forks two processes that extract the same clips into the same store, one clip a shard,
and kills each at a moment of its own (SIGKILL; of every four trials, one is interrupted instead).
After it the store must be whole: no damaged shard, every clip with the features of an unbroken
run. Then some shards are taken away, so that the next trial has work. Prints one line of JSON.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from actionrnn.datasets.manifest import Manifest
from actionrnn.features import engine, extract
from actionrnn.features.extract import ensure_features
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.store import FeatureStore
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

SETTINGS = FeatureSettings(
    BackboneConfig("squeezenet1_1", "random"),
    Sampling(num_frames=2),
    Transform(size=32, resize="squash"),
)


class DecoderHere:
    """Answers as DecodeWorker does, without a process that would outlive a killed parent."""

    timeout_seconds = 0.0

    def __init__(self, loads: str) -> None:
        pass

    def start(self) -> None:
        pass

    def ask(self, request):  # type: ignore[no-untyped-def]
        return request.answer()

    def close(self) -> None:
        pass


def run(manifest: Manifest, folder: Path) -> None:
    """One extraction, to be killed."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  of a process that is about to die
    try:
        ensure_features(manifest, SETTINGS, folder, num_workers=1, progress=False)
    finally:
        os._exit(0)


def forked(work, *arguments) -> int:  # type: ignore[no-untyped-def]
    child = os.fork()
    if not child:
        work(*arguments)
        os._exit(0)
    return child


def main() -> None:
    """Run the trials."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    whole = Manifest.load(options.data)
    manifest = Manifest(whole.root, whole.table.iloc[:12], whole.class_names)
    engine.DecodeWorker = DecoderHere  # type: ignore[assignment,misc]
    extract.SECONDS_PER_SHARD = -1.0
    # In children only: a process that has used its threads must not be forked.
    started = time.monotonic()
    os.waitpid(forked(run, manifest, options.folder / "unbroken"), 0)
    unbroken_seconds = time.monotonic() - started  # of this machine, as busy as it is
    (made,) = (options.folder / "unbroken").iterdir()
    unbroken = FeatureStore.open(made)
    expected = {name: unbroken.read(name) for name in unbroken.video_ids}
    broken = options.folder / "broken"
    longest = 0.0
    counts = {"killed": 0, "interrupted": 0, "finished": 0, "unfinished_files": 0, "clips_kept": 0}
    for trial in range(options.trials):
        number = signal.SIGINT if trial % 4 == 3 else signal.SIGKILL
        children = [forked(run, manifest, broken) for _ in range(2)]
        for child in children:
            time.sleep(draw.uniform(0.0, unbroken_seconds))
            os.kill(child, number)
            sent = time.monotonic()
            _, status = os.waitpid(child, 0)
            longest = max(longest, time.monotonic() - sent)
            by_kill = os.WIFSIGNALED(status)
            name = "killed" if by_kill else "interrupted" if number == signal.SIGINT else "finished"
            counts[name] += 1
        if not broken.is_dir():
            continue
        for folder in broken.iterdir():
            counts["clips_kept"] += check(folder, expected)
            counts["unfinished_files"] += len(list(folder.glob(".*")))
            for shard in folder.glob("*.safetensors"):
                if draw.random() < 0.6:
                    shard.unlink()
    os.waitpid(forked(run, manifest, broken), 0)
    (last,) = broken.iterdir()
    assert check(last, expected) == len(expected), "the next run completes the store"
    print(json.dumps({"trials": options.trials, "longest_end_seconds": longest, **counts}))


def check(folder: Path, expected: dict[str, np.ndarray]) -> int:
    """Assert that a store is whole, and count its clips."""
    if not (folder / "spec.json").exists():
        assert not list(folder.glob("*.safetensors")), "no shard before the spec"
        return 0
    store = FeatureStore.open(folder, verify=True)
    assert store.damaged == {}, store.damaged
    assert store.failures == {}, store.failures
    for name in store.video_ids:
        assert np.array_equal(store.read(name), expected[name]), name
    return len(store.video_ids)


if __name__ == "__main__":
    main()
