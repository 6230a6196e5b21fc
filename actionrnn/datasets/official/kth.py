"""KTH actions (Schuldt, Laptev, Caputo, ICPR 2004): 25 persons, 6 actions, 4 scenarios."""

import re
from pathlib import Path
from typing import Literal

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official.protocol import opened
from actionrnn.datasets.publish import Clip, Missing, publish
from actionrnn.datasets.source.download import RemoteFile
from actionrnn.datasets.source.locate import DatasetCard
from actionrnn.datasets.source.names import numbered_lines

CLASSES = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
_SITE = "https://www.csc.kth.se/cvap/actions"
CARD = DatasetCard(
    name="kth",
    title="KTH actions: Schuldt, Laptev, Caputo, ICPR 2004",
    homepage=f"{_SITE}/",
    licence="none stated; offered for research",
    size="1.1 GB (six zips)",
    layout="boxing.zip ... walking.zip (or personNN_ACTION_dN_uncomp.avi) and 00sequences.txt",
    files=(
        *(RemoteFile(f"{_SITE}/{name}.zip") for name in CLASSES),
        RemoteFile(f"{_SITE}/00sequences.txt"),
    ),
)
PUBLISHED_VIDEOS, PUBLISHED_SEQUENCES = 599, 2391
FRAMES_PER_SECOND = 25
# By person, as 00sequences.txt says; person13_handclapping_d3 does not exist.
_VAL = frozenset((19, 20, 21, 23, 24, 25, 1, 4))
_TEST = frozenset((22, 2, 3, 5, 6, 7, 8, 9, 10))
_VIDEO = re.compile(rf"person(\d\d)_({'|'.join(CLASSES)})_d([1-4])_uncomp\.avi")
_LINE = re.compile(rf"\s*(person(\d\d)_({'|'.join(CLASSES)})_d[1-4])\s+(\S.*)")
_RANGE = re.compile(r"\s*(\d+)-(\d+)\s*")


def prepare(
    source: Path | None,
    root: Path,
    *,
    unit: Literal["sequence", "video"] = "sequence",
    missing: Missing = "keep",
    check_files: bool = True,
    download: bool = False,
) -> Manifest:
    """Write the manifest of KTH with its split by person: 8 train, 8 val, 9 test.

    Args:
        source: folder with the videos (or their zips) and 00sequences.txt.
        root: where the manifest goes; clip paths are relative to it.
        unit: what a clip is: one of the about four sequences of a video, or the whole video.
        missing: keep clips without a file in the manifest, where they count as errors, or drop
            them.
        check_files: open every file; files of equal size are compared in any case.
        download: fetch the files first (without a source).

    Raises:
        SourceNeeded: without a source: where to get it.
        ManifestError: naming file and line of a list that is not as published.
    """
    files, report = opened(CARD, source, root, download)
    videos = report.only(files.videos(), key=lambda path: path.name)
    report.add("extra", [str(p) for name, p in videos.items() if not _VIDEO.fullmatch(name)])
    sequences = read_sequences(files.named("00sequences.txt"))
    report.compare("videos in 00sequences.txt", len(sequences), PUBLISHED_VIDEOS)
    total = sum(len(ranges) for ranges in sequences.values())
    report.compare("sequences in 00sequences.txt", total, PUBLISHED_SEQUENCES)
    clips = []
    for name, ranges in sorted(sequences.items()):
        person, label = name.split("_")[:2]
        file = videos.get(f"{name}_uncomp.avi", files.folders[0] / f"{name}_uncomp.avi")
        splits = {"split1": part_of(int(person.removeprefix("person")))}
        if unit == "video":
            clips.append(Clip(name, file, label, person, splits))
            continue
        for number, (first, last) in enumerate(ranges, start=1):
            start, end = (first - 1) / FRAMES_PER_SECOND, last / FRAMES_PER_SECOND
            clips.append(Clip(f"{name}_{number}", file, label, person, splits, start, end))
    return publish(
        root, clips, CLASSES, report, official=True, missing=missing, check_files=check_files
    )


def part_of(person: int) -> str:
    """The part of the official split that a person is in."""
    return "val" if person in _VAL else "test" if person in _TEST else "train"


def read_sequences(path: Path) -> dict[str, list[tuple[int, int]]]:
    """First and last frame, from 1, of the sequences of every video in `00sequences.txt`.

    Other text above and between is passed over, and so are videos marked `*missing*`. Sequences
    may overlap.

    Raises:
        ManifestError: naming the line whose frames are none, or whose video is there twice.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for where, line in numbered_lines(path, errors="replace"):
        match = _LINE.fullmatch(line)
        if not match or "missing" in match[4]:
            continue
        name, frames = match[1], match[4].removeprefix("frames").strip().rstrip(",")
        ranges = [_RANGE.fullmatch(part) for part in frames.split(",")]
        numbers = [(int(each[1]), int(each[2])) for each in ranges if each]
        if len(numbers) < len(ranges) or any(not 1 <= a <= b for a, b in numbers):
            raise ManifestError(f"{where}: {frames!r} are not frames such as '1-95, 96-185'")
        if name in found:
            raise ManifestError(f"{where}: {name} is there already")
        found[name] = numbers
    if not found:
        raise ManifestError(f"{path} names no videos")
    return found
