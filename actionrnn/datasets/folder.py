"""A folder of your own videos: class sub-folders, or split/class sub-folders."""

import os
import re
import sys
from pathlib import Path

import pandas as pd

from actionrnn.datasets.manifest import Manifest, ManifestError
from actionrnn.datasets.splits import carve, fold_columns

VIDEO_ENDINGS = {
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv"),
    *(".3gp", ".ts", ".gif"),
}
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val"} | {
    "test": "test"
}


def prepare(
    source: Path | None,
    root: Path,
    *,
    group_regex: str | None = None,
    folds: int = 0,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Manifest:
    """Write the manifest of a folder of videos; the videos stay where they are.

    Sub-folders are classes (`SOURCE/jump/a.mp4`), or splits that hold classes
    (`SOURCE/train/jump/a.mp4`, with `val` carved from train where it is missing).

    Args:
        source: the folder.
        root: where the manifest goes; clip paths are relative to it.
        group_regex: finds the recording in a clip's path below its class; the first parenthesis
            counts, as in `_g(\\d+)_`. Without it a sub-folder of the class is a group, and a clip
            right in the class folder is one of its own.
        folds: this many test folds instead of one split.
        val, test: share of the clips, by whole groups.
        seed: of the splits.

    Raises:
        ManifestError: if there are no videos, one class only, or too few groups.
    """
    if source is None or not source.is_dir():
        raise ManifestError(f"--source {source}: give the folder that holds your videos")
    has_splits = {p.name.lower() for p in source.iterdir() if p.is_dir()} <= set(SPLIT_FOLDERS)
    rows = [
        _row(file, source, root, has_splits, group_regex)
        for file in sorted(source.rglob("*"))
        if file.suffix.lower() in VIDEO_ENDINGS and file.is_file()
    ]
    table = pd.DataFrame([row for row in rows if row])
    classes = sorted(set(table["label"])) if len(table) else []
    if len(classes) < 2:
        raise ManifestError(
            f"{source} holds {len(rows)} videos in {len(classes)} classes; wanted are at least "
            f"two sub-folders, one a class, with videos in them ({', '.join(classes) or 'none'})"
        )
    if not table["group"].any():
        print(
            "warning: nothing says which clips come from the same recording, so each counts as "
            "its own. If several do share one, the result will look better than it is: name "
            "them with --group_regex or sub-folders",
            file=sys.stderr,
        )
    manifest = Manifest(root, _with_splits(table, has_splits, folds, val, test, seed), classes)
    manifest.save()
    return manifest


def _row(
    file: Path, source: Path, root: Path, has_splits: bool, group_regex: str | None
) -> dict[str, str] | None:
    parts = file.relative_to(source).parts
    if len(parts) < (3 if has_splits else 2):
        return None
    split = SPLIT_FOLDERS[parts[0].lower()] if has_splits else ""
    label, *inside = parts[1:] if has_splits else parts
    group = "/".join(inside[:-1])
    if group_regex is not None:
        found = re.search(group_regex, "/".join(inside))
        if not found or not found.groups():
            raise ManifestError(
                f"--group_regex {group_regex!r} finds no (group) in {'/'.join(inside)!r}"
            )
        group = found[1]
    return {
        "video_id": file.relative_to(source).as_posix(),
        "path": os.path.relpath(file, root),
        "label": label,
        "group": group,
        "split": split,
    }


def _with_splits(
    table: pd.DataFrame, has_splits: bool, folds: int, val: float, test: float, seed: int
) -> pd.DataFrame:
    labels, groups = table["label"].tolist(), table["group"].tolist()
    if has_splits:
        split = table["split"].to_numpy(dtype=object)
    elif folds:
        columns = fold_columns(labels, groups, folds, val, seed)
        return table.drop(columns="split").assign(**columns)
    else:
        split = table["split"].to_numpy(dtype=object)
        split[:] = "train"
        split[carve(labels, groups, test, seed)] = "test"
    if "val" not in split:
        train = [row for row, name in enumerate(split) if name == "train"]
        chosen = carve(
            [labels[row] for row in train],
            [groups[row] for row in train],
            min(0.5, val / (1 - test)) if not has_splits else val,
            seed,
        )
        for row, is_val in zip(train, chosen, strict=True):
            if is_val:
                split[row] = "val"
    return table.drop(columns="split").assign(split1=split)
