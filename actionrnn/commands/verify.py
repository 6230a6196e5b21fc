"""`actionrnn verify MANIFEST|FOLDER|FILE...`: decode every clip and say which are broken."""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from actionrnn.commands.parsing import usage_errors
from actionrnn.datasets.duplicates import find_duplicates
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.manifest_table import MANIFEST_NAME
from actionrnn.errors import DataRejected
from actionrnn.features.store import FeatureStore
from actionrnn.video.formats import VIDEO_ENDINGS
from actionrnn.video.verify import verify_paths

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Print what is wrong with which file; exit code 3 if anything is."""
    parser = ArgumentParser(prog="actionrnn verify", exit_on_error=False)
    parser.add_argument("paths", type=str, nargs="+", help="manifest, folder or video files")
    parser.add_argument("--reader", type=str, default="auto", help="auto, decord or pyav")
    parser.add_argument("--quick", action="store_true", help="header and last frame only")
    parser.add_argument(
        "--duplicates", action="store_true", help="compare the clips of a manifest instead"
    )
    parser.add_argument(
        "--features",
        type=str | None,
        default=None,
        help="with --duplicates: compare cached features of this store and decode nothing",
    )
    parser.add_argument("--num_workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout_seconds", type=float, default=300.0, help="for one file")
    parser.add_argument("--json", action="store_true", help="one JSON object a file")
    with usage_errors(parser):
        options = parser.parse_args(arguments)
    if options.duplicates:
        manifests = [Manifest.load(path) for path in options.paths]
        store = FeatureStore.open(options.features) if options.features else None
        return duplicates(manifests, options.json, store)
    paths = [file for path in options.paths for file in files_of(path)]
    counts: Counter[str] = Counter()
    results = verify_paths(
        paths,
        reader=options.reader,
        quick=options.quick,
        num_workers=options.num_workers,
        timeout_seconds=options.timeout_seconds,
    )
    console = Console(stderr=True)
    shown = track(results, "verify", len(paths), console=console, disable=not console.is_terminal)
    for result in shown:
        counts[result.status] += 1
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        elif result.status != "ok":
            print(f"{result.status:<10}  {result.path!r}: {result.reason}", flush=True)
    words = ", ".join(f"{counts[status]} {status}" for status in ("ok", "short", "unreadable"))
    print(f"{len(paths)} files: {words}", file=sys.stderr)
    return 0 if counts["ok"] == len(paths) else 3


def duplicates(manifests: list[Manifest], as_json: bool, store: FeatureStore | None = None) -> int:
    """Print clips that are the same or look alike; exit code 3 if any cross a split."""
    num_crossing = 0
    for manifest in manifests:
        features = None if store is None else mean_features(manifest, store)
        findings, faults = find_duplicates(manifest, features)
        for finding in findings:
            num_crossing += bool(finding.crosses)
            print(json.dumps(asdict(finding)) if as_json else finding, flush=True)
        for video_id, reason in faults.items():
            print(f"{video_id} was not compared: {reason}", file=sys.stderr)
        print(
            f"{manifest.root}: {len(findings)} pairs of clips are the same or look alike",
            file=sys.stderr,
        )
    return 3 if num_crossing else 0


def mean_features(manifest: Manifest, store: FeatureStore) -> NDArray[np.float32]:
    """Mean over views and frames of every clip, float32 (n, D); zero, like nothing, where none."""
    means = np.zeros((len(manifest.table), store.feature_dim), dtype=np.float32)
    lacking = []
    for row, video_id in enumerate(manifest.table["video_id"]):
        if video_id in store:
            means[row] = store.read(video_id).astype(np.float32).mean(axis=(0, 1))
        else:
            lacking.append(video_id)
    if lacking:
        names = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
        print(
            f"{len(lacking)} clips have no features and are not compared: {names}", file=sys.stderr
        )
    return means


def files_of(path: str) -> list[str]:
    """The video files behind a manifest, a folder with one, a folder of videos, or a file.

    Raises:
        DataRejected: if a folder holds no video.
    """
    place = Path(path)
    if place.suffix == ".csv" or (place / MANIFEST_NAME).is_file():
        return [str(file) for file in Manifest.load(place).video_paths()]
    if not place.is_dir():
        return [path]
    found = [str(file) for file in sorted(place.rglob("*")) if file.suffix.lower() in VIDEO_ENDINGS]
    if not found:
        raise DataRejected(f"{path}: no video files in this folder")
    return found
