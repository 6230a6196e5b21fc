"""Your own clips, however they were listed: groups, splits, and the mistakes people make."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from actionrnn.datasets.content_hash import equal_files
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.groups import join_groups, pairs_of_equal, pairs_of_overlapping
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.picture_hash import find_near_duplicates, fingerprints
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip, publish, with_splits
from actionrnn.datasets.splits import SplitPlan, require_two_groups
from actionrnn.errors import CONTROL_CHARACTERS
from actionrnn.progress import tell

NearDuplicates = Literal["group", "report", "skip"]
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    "unused": "unused",
}
"""What people call the parts of a split, in lower case."""


def assemble(
    root: Path,
    clips: Sequence[Clip],
    report: Report,
    plan: SplitPlan,
    near_duplicates: NearDuplicates,
    check_files: bool,
    allow_leak: bool,
) -> Manifest:
    """Check the labels, complete the groups, make the splits that are not given, and publish.

    Without any group, clips that look alike are put into one: they may be cut from one take.

    Raises:
        ManifestError: saying which labels, classes or groups cannot be.
        LeakError: if the given split leaks, unless `allow_leak`.
    """
    classes = check_labels([clip.label for clip in clips], report.title)
    labels = [clip.label for clip in clips]
    groups = [clip.group for clip in clips]
    names = [clip.video_id for clip in clips]
    given = any(clip.splits for clip in clips)
    if not any(groups):
        tell(
            "warning: nothing says which clips come from the same recording. If several do, the "
            "result will look better than it is: name recordings with --group_regex, a group "
            "column or sub-folders"
        )
        if near_duplicates != "skip":
            pairs = _look_alike(clips, report)
            if near_duplicates == "group" and not given:
                groups = join_groups(groups, pairs, names)
    elif not all(groups):
        number = sum(not group for group in groups)
        report.notes.append(f"{number} clips have no group; each counts as a recording of its own")
    if not given:
        content = equal_files([clip.file for clip in clips])
        groups = join_groups(groups, pairs_of_equal(content), names)
        if not allow_leak:
            groups, allow_leak = _with_overlapping(clips, labels, groups)
        clips = [replace(clip, group=group) for clip, group in zip(clips, groups, strict=True)]
        clips = with_splits(clips, _columns(labels, groups, plan))
    return publish(
        root,
        clips,
        classes,
        report,
        official=False,
        check_files=check_files,
        allow_leak=allow_leak,
        val=plan.val if given else 0.0,
        seed=plan.seed,
    )


def _with_overlapping(
    clips: Sequence[Clip], labels: Sequence[str], groups: list[str]
) -> tuple[list[str], bool]:
    """Groups in which segments of one file that overlap share one; and whether a leak is left.

    It is where they overlap so much that no split would be left that keeps them apart: the
    groups then stay as they are given, and `fit` refuses the split.
    """
    pairs = pairs_of_overlapping([clip.segment for clip in clips])
    if all(groups[first] == groups[second] for first, second in pairs):
        return groups, False
    joined = join_groups(groups, pairs, [clip.video_id for clip in clips])
    require_two_groups(labels, groups)
    try:
        require_two_groups(labels, joined)
    except ManifestError:
        tell(
            "warning: the segments of one file overlap so much that none can be kept apart to "
            "test with; their groups are left as given, and `actionrnn fit` will refuse the "
            "split for its leak. Give segments that do not overlap, or more files"
        )
        return groups, True
    tell(
        "note: segments of one file overlap across groups; they count as one group "
        "(--allow_leak true leaves them apart, with every result marked as leaked)"
    )
    return joined, False


def check_labels(labels: Sequence[str], where: str) -> list[str]:
    """The class names in order.

    Raises:
        ManifestError: if there are fewer than two, two differ only in case or spaces, or one
            holds control characters.
    """
    counts = Counter(labels)
    for name in counts:
        if CONTROL_CHARACTERS.search(name):
            raise ManifestError(f"{where}: the label {name!r} holds control characters; rename it")
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts):
        spellings.setdefault("".join(name.split()).casefold(), []).append(name)
    clashes = [names for names in spellings.values() if len(names) > 1]
    if clashes:
        named = "; ".join(
            " and ".join(f"{name!r} ({counts[name]} clips)" for name in names) for names in clashes
        )
        raise ManifestError(
            f"{where}: labels that differ only in case or spaces: {named}. Use one spelling"
        )
    if len(counts) < 2:
        found = f"all {len(labels)} clips are of one class, {labels[0]!r}" if labels else "no clips"
        raise ManifestError(f"{where}: {found}; at least two classes are needed to tell apart")
    return sorted(counts)


def _look_alike(clips: Sequence[Clip], report: Report) -> list[tuple[int, int]]:
    signs, _ = fingerprints([clip.segment for clip in clips])
    found = find_near_duplicates(signs)
    report.add(
        "near-duplicates",
        [
            f"{clips[pair.first].video_id} ~ {clips[pair.second].video_id} ({pair.similarity:.2f})"
            for pair in found
        ],
    )
    return [(pair.first, pair.second) for pair in found]


def _columns(labels: list[str], groups: list[str], plan: SplitPlan) -> dict[str, list[str]]:
    try:
        return plan.columns(labels, groups)
    except ManifestError as error:
        if any(group.startswith("like ") for group in groups):
            raise ManifestError(
                f"{error}. Clips that look alike count as one group here; if they only share a "
                f"place, say which recording each is from, or pass --near_duplicates report"
            ) from error
        raise
