"""A manifest as the folders other tools read: torchvision's UCF101, HMDB51, Kinetics; FiftyOne.

The way back is `actionrnn prepare`: `ucf101`, `hmdb51`, and `folder` for the other two.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.files import publish_text

Layout = Literal["ucf101", "hmdb51", "kinetics", "fiftyone"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
HMDB51_TAGS = {"train": 1, "val": 1, "test": 2, "unused": 0}
SPLIT_FOLDERS = {"train": "train", "val": "val", "test": "test"}


def write_layout(
    manifest: Manifest, layout: Layout, folder: Path, split: str = "split1", copy: bool = False
) -> int:
    """Lay a dataset's clips out as another tool expects them; returns how many.

    `ucf101` and `hmdb51` have `videos/<class>/*.avi` and one list a split in `splits/`, with `val`
    in the training list (they know no other); the files keep their content, whatever their name
    ends in. `kinetics` has `<train|val|test>/<class>/*`, `fiftyone` `<class>/*`.

    Args:
        manifest: the dataset.
        layout: whose.
        folder: where to; must not be there.
        split: the split of `kinetics`; the lists have all of them.
        copy: copy the files rather than link to them.

    Raises:
        ActionRNNError: if the folder is there, clips are parts of files, or files are missing.
    """
    if folder.exists():
        raise ActionRNNError(f"{folder} is there already: delete it, or name another")
    table = manifest.table
    if table[["start_seconds", "end_seconds"]].notna().to_numpy().any():
        raise ActionRNNError(
            f"{manifest.root}: clips are parts of longer files, which {layout} does not know; "
            f"cut the files first"
        )
    lacking = [str(path) for path in manifest.video_paths() if not path.is_file()]
    if lacking:
        raise ActionRNNError(f"{len(lacking)} clips are no files: {', '.join(lacking[:3])}")
    published = manifest.split_values(split).tolist()
    place: Callable[[str, str, str], str] = {
        "ucf101": lambda label, name, side: f"videos/{label}/{name}.avi",
        "hmdb51": lambda label, name, side: f"videos/{label}/{name}.avi",
        "kinetics": lambda label, name, side: f"{side}/{label}/{name}",
        "fiftyone": lambda label, name, side: f"{label}/{name}",
    }[layout]
    endless = layout in ("ucf101", "hmdb51")
    sides = published if layout == "kinetics" else ["train"] * len(table)
    names = _names(table["video_id"].tolist(), manifest.video_paths(), endless)
    labels = [_plain(label) if endless else _folder(label) for label in table["label"]]
    placed = 0
    for path, name, label, side in zip(manifest.video_paths(), names, labels, sides, strict=True):
        if side in SPLIT_FOLDERS:
            _lay(path, folder / place(label, name, side), copy)
            placed += 1
    if endless:
        for number, column in enumerate(manifest.splits, start=1):
            parts = manifest.table[column].tolist()
            write = _ucf101_lists if layout == "ucf101" else _hmdb51_lists
            write(folder / "splits", number, list(zip(labels, names, parts, strict=True)))
    if layout == "ucf101":
        lines = [f"{k} {_plain(name)}\n" for k, name in enumerate(manifest.class_names, start=1)]
        publish_text(folder / "splits" / "classInd.txt", "".join(lines))
    return placed


def _ucf101_lists(folder: Path, number: int, clips: list[tuple[str, str, str]]) -> None:
    classes = sorted({label for label, _, _ in clips})
    train = [
        f"{label}/{name}.avi {classes.index(label) + 1}\n"
        for label, name, side in clips
        if side in ("train", "val")
    ]
    test = [f"{label}/{name}.avi\n" for label, name, side in clips if side == "test"]
    publish_text(folder / f"trainlist{number:02d}.txt", "".join(train))
    publish_text(folder / f"testlist{number:02d}.txt", "".join(test))


def _hmdb51_lists(folder: Path, number: int, clips: list[tuple[str, str, str]]) -> None:
    for wanted in sorted({label for label, _, _ in clips}):
        lines = [
            f"{name}.avi {HMDB51_TAGS[side]} \n" for label, name, side in clips if label == wanted
        ]
        publish_text(folder / f"{wanted}_test_split{number}.txt", "".join(lines))


def _names(video_ids: list[str], paths: list[Path], endless: bool) -> list[str]:
    """A file name for every clip, each once: the file's own, or its id where two are the same."""
    own = [_plain(path.stem) if endless else path.name for path in paths]
    if len(set(own)) == len(own):
        return own
    return [
        _plain(video_id.replace("/", "_")) + ("" if endless else path.suffix)
        for video_id, path in zip(video_ids, paths, strict=True)
    ]


def _plain(text: str) -> str:
    """Without spaces, at which these lists are cut."""
    return re.sub(r"\s+", "_", _folder(text))


def _folder(text: str) -> str:
    return text.replace("/", "_")


def _lay(path: Path, target: Path, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copyfile(path, target)
    else:
        os.symlink(path.resolve(), target)
