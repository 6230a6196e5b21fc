"""The last step of every `prepare`: check what was found, write manifest, classes and report."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from actionrnn.datasets.content_hash import CONTENT, equal_files, groups_with_equal_files
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.file_checks import Segment, outside_of_files, unreadable
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.prepare_report import Report, class_table, lacking_classes
from actionrnn.datasets.source.names import require_names
from actionrnn.datasets.splits import carve_val, set_aside
from actionrnn.progress import tell

Missing = Literal["keep", "drop"]
# Rows of the class table on the terminal; the report has them all.
_SHOWN_CLASSES = 24


@dataclass(frozen=True)
class Clip:
    """One row to be.

    Attributes:
        video_id, label, group: as in the manifest.
        file: where it is, or would be if it were there.
        splits: part of every split column.
        start_seconds, end_seconds: of a segment.
    """

    video_id: str
    file: Path
    label: str
    group: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float | None = None
    end_seconds: float | None = None

    @property
    def segment(self) -> Segment:
        """What is read of which file."""
        return Segment(self.file, self.start_seconds, self.end_seconds)


def with_splits(clips: Sequence[Clip], columns: Mapping[str, Sequence[str]]) -> list[Clip]:
    """The clips, each with its part of every split column."""
    return [
        replace(clip, splits={name: column[row] for name, column in columns.items()})
        for row, clip in enumerate(clips)
    ]


def publish(
    root: Path,
    clips: Sequence[Clip],
    class_names: Sequence[str],
    report: Report,
    *,
    official: bool,
    missing: Missing = "keep",
    check_files: bool = True,
    val: float = 0.0,
    seed: int = 0,
    allow_leak: bool = False,
    timelines: pd.DataFrame | None = None,
) -> Manifest:
    """Write `manifest.csv`, `classes.txt` and `report.txt`; tell the user what matters.

    Args:
        root: where they go.
        clips: what the dataset lists, present or not.
        class_names: in the order of the label ids.
        report: findings so far; what is found here is added.
        official: the splits are published ones. Training clips that share a group or the same
            bytes with val or test are then set aside as `unused`, and test stays as published;
            splits of any other origin are refused if they leak.
        missing: `keep` the clips whose file is not there (they count as errors), or `drop` them.
        check_files: open every file.
        val: share of train, by whole groups, that becomes val where a split has none.
        seed: of that choice.
        allow_leak: write splits that leak all the same; training asks again.
        timelines: the segments of the clips, which are recordings; see `datasets.timelines`.

    Raises:
        ManifestError: if no clip is there.
        LeakError: if a split that is not official leaks, unless `allow_leak`; nothing is written.
    """
    clips = _without_missing(clips, report, missing)
    files = [Path(os.path.normpath(clip.file)) for clip in clips]
    if check_files:
        faults = unreadable(sorted({file for file in files if file.exists()}))
        report.add("unreadable", [f"{file}: {reason}" for file, reason in faults.items()])
        segments = {clip.segment: clip.video_id for clip in clips}
        outside = outside_of_files(list(segments))
        report.add("segments outside of their file", [
            f"{segments[segment]}: {reason}" for segment, reason in outside.items()
        ])  # fmt: skip
    content = equal_files(files)
    report.add("identical files", _named_twins(clips, content))
    table = _table(root, clips)
    table[CONTENT] = content
    names = [str(name) for name in table.columns if str(name).startswith("split")]
    columns = {name: table[name].tolist() for name in names}
    if official:
        for column, split in columns.items():
            split, rows = set_aside(split, table["group"].tolist())
            columns[column], more = set_aside(split, content)
            ids = [clips[row].video_id for row in sorted({*rows, *more})]
            report.add(f"set aside in {column} (shared with val or test)", ids)
    groups = groups_with_equal_files(table)
    table = table.assign(**carve_val(columns, table["label"].tolist(), groups, val, seed))
    manifest = Manifest(root, table, list(class_names), timelines)
    for column in manifest.splits:
        leaks = manifest.check_split(column, allow_leak)
        report.add(f"{column} leaks", map(str, leaks))
    report.add("classes lacking in a part", lacking_classes(manifest))
    manifest.save()
    path = report.write(root, manifest)
    tell(class_table(manifest, _SHOWN_CLASSES))
    for line in report.summary():
        tell(f"note: {line}")
    tell(f"all findings: {path}")
    return manifest


def _without_missing(clips: Sequence[Clip], report: Report, missing: Missing) -> Sequence[Clip]:
    present = [clip.file.exists() for clip in clips]
    if not any(present):
        example = f", such as {clips[0].file}" if clips else ""
        raise ManifestError(
            f"{report.title}: none of the {len(clips)} clips is there{example}; is it the right "
            f"folder?"
        )
    absent = [clip.video_id for clip, there in zip(clips, present, strict=True) if not there]
    report.add("missing", absent)
    if missing == "drop":
        return [clip for clip, there in zip(clips, present, strict=True) if there]
    if absent:
        report.notes.append(
            f"{len(absent)} of {len(clips)} clips are missing; they stay in the manifest and "
            f"count as errors (--missing drop leaves them out)"
        )
    return clips


def _named_twins(clips: Sequence[Clip], content: Sequence[str]) -> list[str]:
    ids = pd.Series([clip.video_id for clip in clips], dtype=str)
    twins = ids.groupby(pd.Series(content), sort=False)
    return [" = ".join(sorted(each)) for text, each in twins if text]


def _table(root: Path, clips: Sequence[Clip]) -> pd.DataFrame:
    top = os.path.realpath(root)

    @functools.cache
    def from_root(folder: Path) -> str:
        return Path(os.path.relpath(os.path.realpath(folder), top)).as_posix()

    paths = [f"{from_root(clip.file.parent)}/{clip.file.name}".removeprefix("./") for clip in clips]
    require_names(paths)
    columns = ["video_id", "label", "group", "start_seconds", "end_seconds"]
    table = pd.DataFrame(map(vars, clips), columns=columns)
    table.insert(1, "path", paths)
    table = table.astype({"start_seconds": float, "end_seconds": float})
    for column in dict.fromkeys(name for clip in clips for name in clip.splits):
        table[column] = [clip.splits.get(column, "unused") for clip in clips]
    return table
