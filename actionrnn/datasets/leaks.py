"""What train, val and test of a split must not share, and share: recordings, files, contents."""

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from actionrnn.errors import DataRejected

_PARTS = ("train", "val", "test")
# Clips named per leak, and leaks per message: enough to act on, short enough to read.
_NAMED_CLIPS, _NAMED_LEAKS = 3, 5


@dataclass(frozen=True)
class Leak:
    """Something that lies in more than one of train, val and test.

    Attributes:
        kind: what is shared: a recording group, the same seconds of the same file, or the same
            bytes in files of different names.
        key: the group's name, the file's path as written in the manifest, or the content's hash.
        clips: offending `video_id`s per split name.
    """

    kind: Literal["group", "file", "content"]
    key: str
    clips: dict[str, list[str]]

    def __str__(self) -> str:
        sides = []
        for split, video_ids in self.clips.items():
            named = ", ".join(video_ids[:_NAMED_CLIPS])
            more = len(video_ids) - _NAMED_CLIPS
            sides.append(f"{split}: {named}" + (f" and {more} more" if more > 0 else ""))
        return f"{self.kind} {self.key!r} is in {'; '.join(sides)}"


class LeakError(DataRejected):
    """A split shares a group, a file or a content between train, val and test."""

    def __init__(self, message: str, leaks: tuple[Leak, ...] = ()) -> None:
        super().__init__(message)
        self.leaks = leaks


def find_leaks(table: pd.DataFrame, column: str) -> list[Leak]:
    """Groups, overlapping seconds of one file, and contents that train, val and test share.

    Files are compared by their normalised path, and by the `content` column where there is one.
    Rows with an empty group cannot leak by group, nor rows with an empty content by content;
    `unused` rows cannot leak at all.

    Args:
        table: of a manifest.
        column: the split.
    """
    used = table.loc[(table[column] != "unused").to_numpy()]
    leaks = [*_shared(used, "group", column), *_shared_files(used, column)]
    if "content" in used.columns:
        leaks += [leak for leak in _shared(used, "content", column) if not _one_file(used, leak)]
    return leaks


def leak_error(where: str, leaks: list[Leak]) -> LeakError:
    """The error that refuses a split, naming the first leaks."""
    named = "\n".join(f"  {leak}" for leak in leaks[:_NAMED_LEAKS])
    more = len(leaks) - _NAMED_LEAKS
    return LeakError(
        f"{where} leaks: clips of one recording are in more than one of train, val and test, so "
        f"scores would be too good.\n{named}"
        + (f"\n  and {more} more" if more > 0 else "")
        + "\nMake a split by whole groups (actionrnn prepare ... --val 0.2 --test 0.2), "
        "or pass --allow-leak to go on with every result marked as leaked.",
        tuple(leaks),
    )


def _shared(used: pd.DataFrame, kind: Literal["group", "content"], column: str) -> list[Leak]:
    """Values of the column `kind` that lie in two parts of the split; empty ones are nobody's."""
    known = used.loc[(used[kind] != "").to_numpy(), [kind, column, "video_id"]]
    pairs = known[[kind, column]].drop_duplicates()
    shared = pairs[kind][pairs[kind].duplicated()].unique()
    rows = known.loc[known[kind].isin(shared).to_numpy()]
    return [
        Leak(kind, str(key), _clips_by_split(members, column))
        for key, members in rows.groupby(kind, sort=kind == "group")
    ]


def _one_file(used: pd.DataFrame, leak: Leak) -> bool:
    """Whether the clips of a leak are segments of a single file, which may not overlap."""
    clips = [video_id for ids in leak.clips.values() for video_id in ids]
    paths = used.loc[used["video_id"].isin(clips).to_numpy(), "path"]
    return bool(paths.map(os.path.normpath).nunique() == 1)


def _clips_by_split(members: pd.DataFrame, column: str) -> dict[str, list[str]]:
    sides = {name: members.loc[members[column] == name, "video_id"] for name in _PARTS}
    return {name: ids.tolist() for name, ids in sides.items() if len(ids)}


def _shared_files(used: pd.DataFrame, column: str) -> list[Leak]:
    """Sweep over each file's segments by start; only files in two splits are looked at."""
    file = used["path"].map(os.path.normpath)
    pairs = pd.DataFrame({"file": file, "split": used[column]}).drop_duplicates()
    shared = pairs["file"][pairs["file"].duplicated()].unique()
    of_shared = file.isin(shared).to_numpy()
    rows = used.loc[of_shared]
    rows = rows.assign(
        file=file.loc[of_shared],
        start=rows["start_seconds"].fillna(0.0),
        end=rows["end_seconds"].fillna(np.inf),
    )
    leaks = []
    for _, members in rows.sort_values(["file", "start"], kind="stable").groupby("file"):
        offenders: dict[str, dict[str, None]] = {}
        latest: dict[str, tuple[float, str]] = {}
        for split, video_id, start, end in zip(
            members[column], members["video_id"], members["start"], members["end"], strict=True
        ):
            for other, (other_end, other_id) in latest.items():
                if other != split and other_end > start:
                    offenders.setdefault(other, {})[other_id] = None
                    offenders.setdefault(split, {})[video_id] = None
            if split not in latest or end > latest[split][0]:
                latest[split] = (end, video_id)
        if offenders:
            clips = {name: list(offenders[name]) for name in _PARTS if name in offenders}
            leaks.append(Leak("file", str(members["path"].iloc[0]), clips))
    return leaks
