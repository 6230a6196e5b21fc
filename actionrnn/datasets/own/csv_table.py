"""Your own list of clips: a CSV with any column names."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.groups import groups_by_regex
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.arrays import array_names, first_file
from actionrnn.datasets.own.assemble import SPLIT_WORDS, NearDuplicates, assemble
from actionrnn.datasets.own.csv_rows import SEPARATORS, Row, read_rows
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip
from actionrnn.datasets.source.locate import SourceNeeded
from actionrnn.datasets.source.names import why_unsafe
from actionrnn.datasets.splits import SplitPlan
from actionrnn.errors import near_miss, shown

HOW = """Give the CSV that lists your clips; its first line names the columns:
  path,label,group,start_seconds,end_seconds,split     (all but path and label may be left out;
  a/1.mp4,jump,recording_7,0,2.5,train                  other names: --path_column, ...)
then: actionrnn prepare csv --source my_clips.csv --root data/mine"""


class _Columns(NamedTuple):
    """Names of the columns; empty where there is none."""

    path: str
    label: str
    group: str
    split: str
    start: str
    end: str


def prepare(
    source: Path | None,
    root: Path,
    *,
    videos: Path | None = None,
    features: Path | None = None,
    path_column: str = "path",
    label_column: str = "label",
    group_column: str | None = None,
    split_column: str | None = None,
    start_column: str | None = None,
    end_column: str | None = None,
    separator: str = "comma",
    outside: bool = False,
    group_regex: str | None = None,
    folds: int = 0,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    near_duplicates: NearDuplicates = "group",
    check_files: bool = True,
    allow_leak: bool = False,
) -> Manifest:
    """Write the manifest of the clips that a CSV lists; the videos stay where they are.

    Args:
        source: the CSV; its first line names the columns.
        root: where the manifest goes; clip paths are relative to it.
        videos: folder that the listed paths are relative to; null is the CSV's own.
        features: folder with an array of features for every clip, instead of videos; it is named
            like the clip, with or without the clip's own ending: `a/1.npy` or `a/1.mp4.npy`.
        path_column: name of the column with the files.
        label_column: name of the column with the classes.
        group_column: name of the column with the recordings; null takes `group` if there is one.
        split_column: name of the column with train, val or test; null takes `split` if there is
            one, and makes splits if not.
        start_column: seconds where a clip starts; null takes `start_seconds` if there is one.
        end_column: seconds where a clip ends; null takes `end_seconds` if there is one.
        separator: between the cells: comma, semicolon, tab, pipe, or one character.
        outside: paths may be absolute or lead outside of `videos`.
        group_regex: finds the recording in the path instead of a column; the first parenthesis
            counts, as in `_g(\\d+)_`.
        folds: this many test folds instead of one split.
        val: share of the clips, by whole groups.
        test: share of the clips, by whole groups.
        seed: of the splits.
        near_duplicates: without any group: put clips that look alike into one, only report them,
            or do not look for them.
        check_files: open every file; files of equal size are compared in any case.
        allow_leak: write a given split that leaks all the same; training asks again.

    Raises:
        SourceNeeded: without a source: how a list is laid out.
        ManifestError: naming the line that is wrong; for classes and groups see `folder`.
        LeakError: if the given split leaks.
    """
    if source is None:
        raise SourceNeeded(HOW)
    if not source.is_file():
        raise ManifestError(f"--source {source} is not a file.\n{HOW}")
    names, rows = read_rows(source, separator)
    for flag, column in (("path_column", path_column), ("label_column", label_column)):
        _require(source, names, flag, column)
    columns = _Columns(
        path_column,
        label_column,
        group=_choose(source, names, "group_column", group_column, "group"),
        split=_choose(source, names, "split_column", split_column, "split"),
        start=_choose(source, names, "start_column", start_column, "start_seconds"),
        end=_choose(source, names, "end_column", end_column, "end_seconds"),
    )
    base = source.parent if videos is None else videos

    def place(path: str, segment: str) -> Path:
        if features is None:
            return base / path
        names = array_names(path + segment)
        return first_file(features, names) or features / names[0]

    clips = [_clip(row, columns, place, outside) for row in rows]
    if group_regex is not None:
        groups = groups_by_regex([row.cells[path_column] for row in rows], group_regex)
        clips = [replace(clip, group=name) for clip, name in zip(clips, groups, strict=True)]
    plan = SplitPlan(folds, val, test, seed)
    if features is not None:  # arrays look like nothing, and cannot be opened as videos
        near_duplicates, check_files = "skip", False
    return assemble(
        root, clips, Report(str(source)), plan, near_duplicates, check_files, allow_leak
    )


def _clip(row: Row, columns: _Columns, place: Callable[[str, str], Path], outside: bool) -> Clip:
    path = row.cells[columns.path].strip()
    reason = "" if outside and path else why_unsafe(path)
    if reason:
        raise ManifestError(
            f"{row.where}: {columns.path} {path!r} {reason}; rejected (--outside true allows "
            f"absolute paths and '..')"
        )
    if not row.cells[columns.label].strip():
        raise ManifestError(f"{row.where}: {columns.label} is empty")
    start, end = _seconds(row, columns.start), _seconds(row, columns.end)
    segment = _segment(start, end)
    return Clip(
        video_id=shown(path) + segment,
        file=place(path, segment),
        label=row.cells[columns.label],
        group=row.cells.get(columns.group, "").strip(),
        splits={"split1": _split(row, columns.split)} if columns.split else {},
        start_seconds=start,
        end_seconds=end,
    )


def _require(path: Path, names: list[str], flag: str, column: str) -> None:
    if column not in names:
        others = [name for name, between in SEPARATORS.items() if between in "".join(names)]
        raise ManifestError(
            f"{path}, line 1: no column {column!r} (--{flag}); it has {', '.join(names)}"
            f"{near_miss(column, names)}"
            + (f". Is it --separator {others[0]}?" if others and len(names) == 1 else "")
        )


def _choose(path: Path, names: list[str], flag: str, column: str | None, usual: str) -> str:
    """The column meant, or the empty string if there is none."""
    if column is None:
        return usual if usual in names else ""
    _require(path, names, flag, column)
    return column


def _seconds(row: Row, column: str) -> float | None:
    text = row.cells[column].strip() if column else ""
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise ManifestError(f"{row.where}: {column} {text!r} is not a number of seconds")
    return value


def _split(row: Row, column: str) -> str:
    word = row.cells[column].strip().lower()
    if word not in SPLIT_WORDS:
        raise ManifestError(
            f"{row.where}: {column} {row.cells[column]!r}; one of {', '.join(SPLIT_WORDS)}"
        )
    return SPLIT_WORDS[word]


def _segment(start: float | None, end: float | None) -> str:
    """`#0.5-2`, with every digit that tells one time from another."""
    if start is None and end is None:
        return ""
    first, last = ("" if time is None else repr(time).removesuffix(".0") for time in (start, end))
    return f"#{first}-{last}"
