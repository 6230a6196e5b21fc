"""`actionrnn verify MANIFEST|FOLDER|FILE...`: decode every clip and say which are broken.

The splits of a manifest are checked too: for what train, val and test share.
"""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from actionrnn.commands.parsing import OPTIONAL_TEXT, options_of, verb_parser
from actionrnn.datasets.content_hash import CONTENT, with_content
from actionrnn.datasets.duplicates import find_duplicates
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.manifest_table import manifest_file
from actionrnn.datasets.own.arrays import ARRAY_ENDINGS
from actionrnn.datasets.own.find_clips import find_clips
from actionrnn.datasets.source.locate import SourceFiles
from actionrnn.errors import DataRejected, shown
from actionrnn.places import place
from actionrnn.progress import progress, tell
from actionrnn.video.verify import Status, verify_paths

if TYPE_CHECKING:
    from actionrnn.features.store import FeatureStore

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Print what is wrong with which file; exit code 3 if anything is."""
    parser = verb_parser("verify")
    parser.add_argument("paths", type=str, nargs="+", help="manifest, folder or video files")
    parser.add_argument("--reader", type=str, default="auto", help="auto, or one installed here")
    parser.add_argument("--quick", action="store_true", help="header and last frame only")
    compare = "compare the clips of a manifest instead"
    parser.add_argument("--duplicates", action="store_true", help=compare)
    cached = "with --duplicates: compare cached features of this store and decode nothing"
    parser.add_argument("--features", **OPTIONAL_TEXT, help=cached)
    parser.add_argument("--num_workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout_seconds", type=float, default=300.0, help="for one file")
    parser.add_argument("--json", action="store_true", help="one JSON object a file")
    options = options_of(parser, arguments)
    if options.duplicates:
        from actionrnn.features.store import FeatureStore

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
    for result in progress(results, len(paths), "verify"):
        counts[result.status] += 1
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        elif result.status != "ok":
            text = f"{result.status:<10}  {result.path!r}: {result.reason}"
            print(shown(text, lines=True), flush=True)
    told = [status for status in get_args(Status) if counts[status] or status != "not read"]
    words = ", ".join(f"{counts[status]} {status}" for status in told)
    print(f"{len(paths)} files: {words}", file=sys.stderr)
    manifests = [Manifest.load(path) for path in options.paths if is_manifest(path)]
    num_leaks = sum(print_leaks(manifest, options.json) for manifest in manifests)
    return 0 if counts["ok"] == len(paths) and not num_leaks else 3


def print_leaks(manifest: Manifest, as_json: bool) -> int:
    """Print what train, val and test of each split share; returns how many things."""
    if CONTENT not in manifest.table.columns:
        manifest = with_content(manifest)
    num_leaks = 0
    for column in manifest.splits:
        leaks = manifest.find_leaks(column)
        num_leaks += len(leaks)
        for leak in leaks:
            record = {"split": column, **asdict(leak)}
            line = json.dumps(record) if as_json else shown(f"leak  {column}: {leak}")
            print(line, flush=True)
        words = f"{len(leaks)} leaks between train, val and test" if leaks else "no leaks"
        tell(f"{manifest.root} {column}: {words}")
    return num_leaks


def duplicates(
    manifests: list[Manifest], as_json: bool, store: "FeatureStore | None" = None
) -> int:
    """Print clips that are the same or look alike; exit code 3 if any cross a split."""
    num_crossing = 0
    for manifest in manifests:
        features = None if store is None else mean_features(manifest, store)
        findings, faults = find_duplicates(manifest, features)
        for finding in findings:
            num_crossing += bool(finding.crosses)
            print(json.dumps(asdict(finding)) if as_json else shown(str(finding)), flush=True)
        for video_id, reason in faults.items():
            tell(f"{video_id} was not compared: {reason}")
        tell(f"{manifest.root}: {len(findings)} pairs of clips are the same or look alike")
    return 3 if num_crossing else 0


def mean_features(manifest: Manifest, store: "FeatureStore") -> NDArray[np.float32]:
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
        tell(f"{len(lacking)} clips have no features and are not compared: {names}")
    return means


def is_manifest(path: str) -> bool:
    """Whether this is a manifest, or a folder with one."""
    named = place(path).suffix.lower() in (".csv", ".parquet")
    return named or manifest_file(place(path)) is not None


def files_of(path: str) -> list[str]:
    """The video files behind a manifest, a folder with one, a folder of videos, or a file.

    Raises:
        DataRejected: if a folder holds no video.
    """
    if is_manifest(path):
        listed = Manifest.load(path).video_paths()
        videos = [str(file) for file in listed if file.suffix not in ARRAY_ENDINGS]
        if len(videos) < len(listed):
            tell(
                f"{len(listed) - len(videos)} clips are arrays of features, which are not read "
                f"here: actionrnn features verify STORE"
            )
        return videos
    if not Path(path).is_dir():
        return [path]
    clips, left_out = find_clips(SourceFiles.walk((Path(path),)))
    for line in left_out:
        tell(f"left out: {line}")
    if not clips:
        raise DataRejected(f"{path}: no video files in this folder")
    return [str(clip) for clip in clips]
