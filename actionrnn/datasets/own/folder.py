"""A folder of your own videos: class sub-folders, or split/class sub-folders."""

import os
from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.groups import groups_by_regex
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.assemble import SPLIT_WORDS, NearDuplicates, assemble, check_labels
from actionrnn.datasets.own.find_clips import find_clips
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip
from actionrnn.datasets.source.archives import archive_name, extract
from actionrnn.datasets.source.locate import SourceFiles, is_source_folder, required
from actionrnn.datasets.source.names import require_names
from actionrnn.datasets.splits import SplitPlan
from actionrnn.errors import shown

HOW = """Give the folder that holds your videos, one sub-folder a class (or its zip, tar, rar):
  my_videos/jump/a.mp4             or my_videos/train/jump/a.mp4, my_videos/test/jump/b.mp4
  my_videos/jump/recording_7/a.mp4    where several clips are cut from one recording
then: actionrnn prepare folder --source my_videos --root data/mine"""


def prepare(
    source: Path | None,
    root: Path,
    *,
    group_regex: str | None = None,
    folds: int = 0,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    near_duplicates: NearDuplicates = "group",
    check_files: bool = True,
    allow_leak: bool = False,
) -> Manifest:
    """Write the manifest of a folder of videos; the videos stay where they are.

    Sub-folders are classes (`SOURCE/jump/a.mp4`), or splits that hold classes
    (`SOURCE/train/jump/a.mp4`, with `val` carved from train where it is missing). A clip may
    also be a folder of numbered pictures (`SOURCE/jump/a/00001.jpg`). Whatever can be read is a
    video, whatever its ending; every file that is left out is counted in the report.

    Args:
        source: the folder, or an archive of it.
        root: where the manifest goes; clip paths are relative to it.
        group_regex: finds the recording in a clip's path below its class; the first parenthesis
            counts, as in `_g(\\d+)_`. Without it a sub-folder of the class is a group, and a clip
            right in the class folder is one of its own.
        folds: this many test folds instead of one split.
        val: share of the clips, by whole groups.
        test: share of the clips, by whole groups.
        seed: of the splits.
        near_duplicates: without any group: put clips that look alike into one, only report them,
            or do not look for them.
        check_files: open every file; files of equal size are compared in any case.
        allow_leak: write a given split that leaks all the same; training asks again.

    Raises:
        SourceNeeded: without a source: how a folder is laid out.
        ManifestError: if there are no videos, one class only, or too few groups.
        LeakError: if the split that the folders give leaks.
    """
    source = _folder(source, root)
    found, left_out = find_clips(SourceFiles.walk((source,)))
    report = Report(f"videos in {source}")
    report.add("left out, by ending and reason", left_out)
    if not found:
        listed = "".join(f"\n  {entry}" for entry in left_out)
        raise ManifestError(f"there are no videos in {source}.{listed}\n{HOW}")
    parts_of = {path: path.relative_to(source).parts for path in found}
    require_names(["/".join(parts) for parts in parts_of.values()])
    has_splits = _are_splits(list(parts_of.values()))
    depth = 3 if has_splits else 2
    beside = {path: parts for path, parts in parts_of.items() if len(parts) < depth}
    parts_of = {path: parts for path, parts in parts_of.items() if len(parts) >= depth}
    if not parts_of:
        raise ManifestError(_beside(source, list(beside)))
    report.add("not in a class folder", [str(path) for path in beside])
    inside = ["/".join(parts[depth - 1 :]) for parts in parts_of.values()]
    groups = [os.path.dirname(name) for name in inside]
    if group_regex is not None:
        groups = groups_by_regex(inside, group_regex)
    clips = [
        Clip(
            video_id=shown("/".join(parts)),
            file=path,
            label=parts[depth - 2],
            group=shown(group),
            splits={"split1": SPLIT_WORDS[parts[0].lower()]} if has_splits else {},
        )
        for (path, parts), group in zip(parts_of.items(), groups, strict=True)
    ]
    classes = check_labels([clip.label for clip in clips], report.title)
    report.add("class folders without a video", _empty_classes(source, has_splits, classes))
    plan = SplitPlan(folds, val, test, seed)
    return assemble(root, clips, report, plan, near_duplicates, check_files, allow_leak)


def _folder(source: Path | None, root: Path) -> Path:
    source = required(source, HOW)
    if is_source_folder(source):
        return source
    folder = root / "unpacked" / archive_name([source])
    folder = folder if folder.is_dir() else extract([source], folder)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _beside(source: Path, clips: list[Path]) -> str:
    """That no clip lies in a class folder, and what lies there instead."""
    pictures = all(path.is_dir() for path in clips)
    what = "folders of pictures, each taken for one clip" if pictures else "videos"
    return (
        f"{source} holds {len(clips)} {what}, and no folder of a class around them "
        f"({clips[0].relative_to(source)}): put them into one folder a class.\n{HOW}"
    )


def _are_splits(parts: list[tuple[str, ...]]) -> bool:
    """Whether the folders with videos are called train, val, test, and hold class folders."""
    tops = {each[0].lower() for each in parts if len(each) > 1}
    return tops <= set(SPLIT_WORDS) and any(len(each) > 2 for each in parts)


def _empty_classes(source: Path, has_splits: bool, classes: list[str]) -> list[str]:
    tops = [p for p in source.iterdir() if p.is_dir()] if has_splits else [source]
    found = {path.name for top in tops for path in top.iterdir() if path.is_dir()}
    return sorted(name for name in found - set(classes) if name[0] != ".")
