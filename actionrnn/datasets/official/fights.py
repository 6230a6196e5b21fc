"""Surveillance Camera Fights (Akti, Tataroglu, Ekenel, IPTA 2019, arXiv 2002.04355).

150 `fight/fi*.mp4` and 150 `noFight/nofi*.mp4` of about two seconds, cut from 44 recordings that
`videos.txt` lists: an address, then the clips cut from it. Nearly all recordings hold both
classes, so a random split shares a recording with train for almost every test clip.
"""

import re
from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official.protocol import opened
from actionrnn.datasets.publish import Clip, publish, with_splits
from actionrnn.datasets.source.download import RemoteFile
from actionrnn.datasets.source.locate import DatasetCard
from actionrnn.datasets.source.names import numbered_lines
from actionrnn.datasets.splits import fold_columns

CARD = DatasetCard(
    name="fights",
    title="Surveillance Camera Fights: Akti, Tataroglu, Ekenel, IPTA 2019 (arXiv 2002.04355)",
    homepage="https://github.com/sayibet/fight-detection-surv-dataset",
    licence="MIT",
    size="about 100 MB",
    layout="fight/fi*.mp4, noFight/nofi*.mp4 and videos.txt",
    files=(RemoteFile("https://github.com/sayibet/fight-detection-surv-dataset/archive/HEAD.zip"),),
)
CLASSES = {"fight": "fi", "noFight": "nofi"}
PUBLISHED_CLIPS, PUBLISHED_RECORDINGS = 150, 44  # clips of each class
UNLISTED = "unlisted"
_CLIP_LINE = re.compile(r"\s*((?:fi|nofi)\d+)\s*:")


def prepare(
    source: Path | None,
    root: Path,
    *,
    folds: int = 5,
    val: float = 0.2,
    seed: int = 0,
    check_files: bool = True,
    download: bool = False,
) -> Manifest:
    """Write the manifest; the videos stay where they are.

    Args:
        source: folder or archive with `fight/`, `noFight/` and `videos.txt`.
        root: where the manifest goes; clip paths are relative to it.
        folds: test folds, one split column each, by recording.
        val: share of the training recordings that become validation.
        seed: of the folds.
        check_files: open every file; files of equal size are compared in any case.
        download: fetch the repository of its authors first (without a source).

    Raises:
        SourceNeeded: without a source: where to get it.
        ManifestError: if the source is not this dataset.
    """
    files, report = opened(CARD, source, root, download)
    recordings, again = read_recordings(files.named("videos.txt"))
    report.add("listed under two recordings (used is the first)", again)
    report.compare("recordings", len(set(recordings.values())), PUBLISHED_RECORDINGS)
    videos = report.only(files.videos(), key=lambda path: f"{path.parent.name}/{path.stem}")
    clips: list[Clip] = []
    for label, prefix in CLASSES.items():
        mine = [name for name in sorted(videos) if name.startswith(f"{label}/{prefix}")]
        report.compare(f"clips of {label}", len(mine), PUBLISHED_CLIPS)
        for name in mine:
            video_id = Path(name).name
            group = recordings.get(video_id, UNLISTED)
            clips.append(Clip(video_id, videos.pop(name), label, group))
    report.add("extra", map(str, videos.values()))
    if not clips:
        raise ManifestError(f"no fight/fi*.mp4 in {source}; expected are {CARD.layout}")
    there = {clip.video_id for clip in clips}
    report.add("missing", [name for name in recordings if name not in there])
    unlisted = [clip.video_id for clip in clips if clip.group == UNLISTED]
    report.add(f"no recording known (one group, {UNLISTED!r})", unlisted)
    labels, groups = [clip.label for clip in clips], [clip.group for clip in clips]
    clips = with_splits(clips, fold_columns(labels, groups, folds, val, seed))
    return publish(root, clips, list(CLASSES), report, official=False, check_files=check_files)


def read_recordings(path: Path) -> tuple[dict[str, str], list[str]]:
    """Recording (`r01` ...) of every clip that `videos.txt` lists, and clips listed again.

    One clip is listed under two recordings; the first is kept: its times agree with the length
    of the file (2.0 s), the second's do not (2.1 s).

    Raises:
        ManifestError: if the file lists nothing.
    """
    found: dict[str, str] = {}
    again: list[str] = []
    number = 0
    for _, line in numbered_lines(path, errors="replace"):
        clip = _CLIP_LINE.match(line)
        if line.startswith("http"):
            number += 1
        elif clip and found.setdefault(clip[1], f"r{number:02d}") != f"r{number:02d}":
            again.append(clip[1])
    if not found:
        raise ManifestError(f"{path} lists no clips")
    return found, again
