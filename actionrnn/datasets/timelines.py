"""What happens when in the recordings of a manifest: `timelines.csv`, beside `manifest.csv`.

Where the file is there, the dataset is one of timelines: a row of the manifest is a whole recording
(its `label` is the class that takes most of it, for stratified splits alone), and a row here is a
segment of one: `video_id, label, start_seconds, end_seconds`, the end not included. Segments of a
recording do not overlap. The first class of `classes.txt` is the background: whatever time no
segment covers. It has no segments of its own.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest_table import read_table, seconds_in

TIMELINES_NAME = "timelines.csv"
COLUMNS = ("video_id", "label", "start_seconds", "end_seconds")
_ROUNDING_SECONDS = 1e-6


def read_timelines(path: Path, table: pd.DataFrame, class_names: list[str]) -> pd.DataFrame:
    """The segments of a file, checked.

    Args:
        path: of `timelines.csv`.
        table: of the manifest.
        class_names: the background first.

    Raises:
        ManifestError: with file and line.
    """
    raw, lines = read_table(path)

    def at(row: int) -> str:
        return f"{path}, line {lines[row]}"

    if tuple(raw.columns) != COLUMNS:
        raise ManifestError(f"{path}, line 1: the columns must be {','.join(COLUMNS)}")
    for name in COLUMNS[2:]:
        raw[name] = [seconds_in(cell, name, at, row) for row, cell in enumerate(raw[name])]
    return checked(raw, table, class_names, at)


def checked(
    timelines: pd.DataFrame,
    table: pd.DataFrame,
    class_names: list[str],
    at: Callable[[int], str],
) -> pd.DataFrame:
    """The segments by recording, in the order of the manifest, and by time.

    Raises:
        ManifestError: for a recording or a class that there is not, an impossible segment, or two
            that overlap; and for a manifest of parts of files.
    """
    rows = {name: row for row, name in enumerate(table["video_id"])}
    if table[["start_seconds", "end_seconds"]].notna().any(axis=None):
        raise ManifestError(
            f"{at(0)}: the recordings of timelines are whole files; leave start_seconds and "
            f"end_seconds of the manifest empty"
        )
    for row, (video_id, label, start, end) in enumerate(timelines[list(COLUMNS)].to_numpy()):
        if video_id not in rows:
            raise ManifestError(f"{at(row)}: there is no recording {video_id!r} in the manifest")
        if label not in class_names[1:]:
            raise ManifestError(
                f"{at(row)}: label {label!r} is none of {', '.join(class_names[1:11])}"
                f"{f' (the background {label!r} has no segments)' if label in class_names else ''}"
            )
        if not 0 <= start < end < float("inf"):
            raise ManifestError(f"{at(row)}: {start} to {end} seconds; 0 <= start < end is needed")
    place = timelines["video_id"].map(rows)
    order = np.lexsort((timelines["start_seconds"], place))
    found = timelines[list(COLUMNS)].iloc[order].reset_index(drop=True)
    before = found.shift(1)
    overlapping = (found["video_id"] == before["video_id"]) & (
        found["start_seconds"] < before["end_seconds"] - _ROUNDING_SECONDS
    )
    for row in np.flatnonzero(overlapping.to_numpy())[:1]:
        raise ManifestError(
            f"{at(int(order[row]))}: overlaps {at(int(order[row - 1]))} of the same recording"
        )
    return found.astype({"start_seconds": np.float64, "end_seconds": np.float64})


def label_ids_at(
    segments: pd.DataFrame, class_names: list[str], seconds_T: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Class index at every moment of one recording, int64 (T,); 0 is the background.

    Args:
        segments: of that recording, by time.
        class_names: the background first.
        seconds_T: moments.
    """
    ids = pd.Index(class_names).get_indexer(pd.Index(segments["label"]))
    if not len(ids):
        return np.zeros(len(seconds_T), np.int64)
    started = np.searchsorted(segments["start_seconds"].to_numpy(), seconds_T, side="right") - 1
    within = seconds_T < segments["end_seconds"].to_numpy()[started]
    return np.where((started >= 0) & within, ids[started], 0).astype(np.int64)


def longest_label(segments: pd.DataFrame, background: str) -> str:
    """The class that takes most time of a recording; the background if nothing happens in it."""
    if not len(segments):
        return background
    seconds = segments["end_seconds"] - segments["start_seconds"]
    return str(seconds.groupby(segments["label"]).sum().idxmax())
