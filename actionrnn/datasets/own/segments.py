"""Long videos in which things begin and end, as you or an annotation tool noted them down."""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.datasets.content_hash import equal_files
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.file_checks import frame_times, read_each
from actionrnn.datasets.groups import groups_by_regex, join_groups, pairs_of_equal
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.annotation_files import read_annotations
from actionrnn.datasets.own.annotations import Annotation
from actionrnn.datasets.own.assemble import SPLIT_WORDS
from actionrnn.datasets.own.find_clips import find_clips
from actionrnn.datasets.own.pieces import Overlaps, piece_of, timeline_of
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip, publish, with_splits
from actionrnn.datasets.source.locate import SourceFiles, required
from actionrnn.datasets.splits import SplitPlan
from actionrnn.datasets.timelines import COLUMNS, longest_label
from actionrnn.errors import near_miss, shown

Missing = Literal["refuse", "drop"]
_PARTS = ("train", "val", "test")
HOW = """Give the file, or folder of files, that says what happens when, and the videos' folder:
  video,start,end,label         (seconds, or h:mm:ss; a line `a.mp4,,,` if nothing happens in it)
  a.mp4,12.5,14,jump
or what BORIS (events, CSV or TSV), ELAN (.eaf, tab-delimited text), CVAT (for video 1.1), Label
Studio (JSON), VIA 3 (project) export, or the JSON of ActivityNet and THUMOS14; then:
  actionrnn prepare segments --source notes.csv --videos my_videos --root data/mine"""


def prepare(
    source: Path | None,
    root: Path,
    *,
    videos: Path | None = None,
    background: str = "background",
    fps: float | None = None,
    overlaps: Overlaps = "refuse",
    missing: Missing = "refuse",
    group_regex: str | None = None,
    folds: int = 0,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    allow_leak: bool = False,
) -> Manifest:
    """Write the manifest and the timelines of long videos; the videos stay where they are.

    A video is a recording: all of it is in one part of a split, unless `group_regex`, or a column
    `group`, says that several are from one. Videos of `videos` that nothing is said of are left
    out, for nobody knows what happens in them.

    Args:
        source: file or folder of annotations.
        root: where the manifest goes; paths are relative to it.
        videos: folder of the videos; null is the source's own.
        background: the class of all time in which nothing is annotated.
        fps: frames per second that the tool counted in, where it notes frames (CVAT, Label
            Studio); null takes each frame's own time in the video.
        overlaps: `refuse` segments of different classes that overlap, or let the one that begins
            `later` count. Overlapping segments of one class are one segment in any case.
        missing: `refuse` annotations of videos that are not there, or cannot be read, or `drop`
            them.
        group_regex: finds the recording in a video's name; the first parenthesis counts.
        folds: this many test folds instead of one split.
        val: share of the segments, by whole recordings.
        test: share of the segments, by whole recordings.
        seed: of the splits.
        allow_leak: write a given split that leaks all the same; training asks again.

    Raises:
        SourceNeeded: without a source: what is read.
        ManifestError: naming file and line, or entry, of what cannot be.
        LeakError: if the split that the source gives leaks.
    """
    source = required(source, HOW)
    folder = videos or (source if source.is_dir() else source.parent)
    if not folder.is_dir():
        raise ManifestError(f"--videos {folder} is no folder")
    report = Report(f"segments of {source}")
    annotations = read_annotations(source)
    by_file = _by_file(annotations, folder, missing, report)
    times = _times(sorted(by_file), missing, report)
    files = list(times)
    pieces = {}
    for file, found in times.items():
        own = [each for each in by_file[file] if each.label not in ("", background)]
        pieces[file] = timeline_of([piece_of(each, found, fps, report) for each in own], overlaps)
    groups = _groups(by_file, files, folder, group_regex)
    plan = SplitPlan(folds, val, test, seed)
    splits = _splits(by_file, pieces, files, groups, background, plan)
    ids = [shown(file.relative_to(folder).as_posix()) for file in files]
    timelines = pd.DataFrame(
        [
            (video_id, piece.label, round(piece.start, 6), round(piece.end, 6))
            for video_id, file in zip(ids, files, strict=True)
            for piece in pieces[file]
        ],
        columns=list(COLUMNS),
    )
    classes = sorted(set(timelines["label"]))
    if not classes:
        raise ManifestError(f"{source}: nothing happens in {len(files)} videos; no class to learn")
    clips = [
        Clip(
            video_id,
            file,
            longest_label(timelines[timelines["video_id"] == video_id], background),
            group,
        )
        for video_id, file, group in zip(ids, files, groups, strict=True)
    ]
    return publish(
        root,
        with_splits(clips, splits),
        [background, *classes],
        report,
        official=False,
        val=val if not folds else 0.0,
        seed=seed,
        allow_leak=allow_leak,
        timelines=timelines,
    )


def _by_file(
    annotations: list[Annotation], folder: Path, missing: Missing, report: Report
) -> dict[Path, list[Annotation]]:
    """The annotations of every video that is there.

    Raises:
        ManifestError: for one that is not, or that several files could be.
    """
    files, _ = find_clips(SourceFiles.walk((folder,)))
    known: dict[str, set[Path]] = defaultdict(set)
    for file in files:
        relative = file.relative_to(folder).as_posix()
        for name in (relative, file.as_posix(), file.name, file.stem):
            known[name].add(file)
    found: dict[Path, list[Annotation]] = defaultdict(list)
    absent = []
    for each in annotations:
        name = each.video.replace("\\", "/")
        bare = PurePosixPath(name).name
        names = (name, bare, f"v_{bare}", PurePosixPath(bare).stem)
        options = next((known[each] for each in names if each in known), ())
        if len(options) > 1:
            raise ManifestError(
                f"{each.where}: video {each.video!r} could be "
                f"{' or '.join(sorted(str(file) for file in options))}; give its path"
            )
        if options:
            found[next(iter(options))].append(each)
        elif missing == "drop":
            absent.append(each.video)
        else:
            raise ManifestError(
                f"{each.where}: there is no video {each.video!r} in {folder}"
                f"{near_miss(bare, [file.name for file in files])} (--missing drop leaves out what "
                f"is said of videos that are not there; --videos FOLDER says where they are)"
            )
    if not found:
        raise ManifestError(f"{report.title}: none of the videos is in {folder}")
    report.add("annotated, but not there", sorted(set(absent)))
    unknown = sorted(file.relative_to(folder).as_posix() for file in set(files) - set(found))
    report.add("left out, for nothing is said of them", unknown)
    return found


def _times(files: list[Path], missing: Missing, report: Report) -> dict[Path, NDArray[np.float64]]:
    """`frame_times` of the videos that can be read.

    Raises:
        ManifestError: for one that cannot, or if none can.
    """
    found, bad = read_each(frame_times, files, "timing videos")
    if bad and (missing == "refuse" or len(bad) == len(files)):
        file, reason = next(iter(bad.items()))
        raise ManifestError(
            f"{len(bad)} of {len(files)} videos cannot be read, such as {file}: {reason} "
            f"(--missing drop leaves them out)"
        )
    report.add("unreadable", [f"{file}: {reason}" for file, reason in bad.items()])
    return found


def _groups(
    by_file: dict[Path, list[Annotation]], files: list[Path], folder: Path, regex: str | None
) -> list[str]:
    """The recording of every video; equal files are of one."""
    names = [file.relative_to(folder).as_posix() for file in files]
    if regex is not None:
        groups = groups_by_regex(names, regex)
    else:
        given = [{each.group for each in by_file[file]} - {""} for file in files]
        for file, several in zip(files, given, strict=True):
            if len(several) > 1:
                raise ManifestError(f"{file} is said to be of the groups {sorted(several)}")
        groups = [next(iter(of), name) for of, name in zip(given, names, strict=True)]
    return join_groups(groups, pairs_of_equal(equal_files(files)), names)


def _splits(
    by_file: dict[Path, list[Annotation]],
    pieces: dict[Path, list[Annotation]],
    files: list[Path],
    groups: list[str],
    background: str,
    plan: SplitPlan,
) -> dict[str, list[str]]:
    """The parts that the source gives, or made by whole recordings, stratified by segments."""
    given = [{each.part for each in by_file[file]} - {""} for file in files]
    if any(given) and not plan.folds:
        return {"split1": _given_parts(files, given)}
    rows = [
        (piece.label, group)
        for file, group in zip(files, groups, strict=True)
        for piece in pieces[file]
    ]
    quiet = [group for file, group in zip(files, groups, strict=True) if not pieces[file]]
    # A single one cannot be both trained on and tested with, and need not.
    label = background if len(set(quiet)) > 1 else rows[0][0] if rows else background
    rows += [(label, group) for group in quiet]
    labels, owners = [label for label, _ in rows], [group for _, group in rows]
    columns = plan.columns(labels, owners)
    parts = {name: dict(zip(owners, column, strict=True)) for name, column in columns.items()}
    return {name: [part[group] for group in groups] for name, part in parts.items()}


def _given_parts(files: list[Path], given: list[set[str]]) -> list[str]:
    """Official names in this project's words.

    ActivityNet keeps the labels of its test videos: its validation list is then `test`. THUMOS14
    has no training list of long videos: its validation list is then `train`.
    """
    parts = {SPLIT_WORDS.get(word.lower()) for of in given for word in of} & set(_PARTS)
    # Of three parts two are there, one of them val: it stands for the third.
    val = (set(_PARTS) - parts).pop() if len(parts) == 2 and "val" in parts else "val"
    meaning = {word: val if part == "val" else part for word, part in SPLIT_WORDS.items()}
    found = []
    for file, of in zip(files, given, strict=True):
        if len(of) != 1 or next(iter(of)).lower() not in meaning:
            raise ManifestError(
                f"{file} is said to be in {' and '.join(sorted(of)) or 'no part'} of the split; "
                f"one of {', '.join(SPLIT_WORDS)}, for every video or for none"
            )
        found.append(meaning[next(iter(of)).lower()])
    return found
