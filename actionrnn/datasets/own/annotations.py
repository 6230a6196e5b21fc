"""What annotation tools export, as one list: which video, what, from when to when.

`read_annotations` tells the tools apart by what stands in a file: a CSV of one's own, BORIS
(tabular or aggregated events, CSV or TSV), ELAN (.eaf, or tab-delimited text with header lines),
CVAT for video 1.1 (XML), Label Studio (video timelines, JSON or JSON-MIN), VIA 3 (its project
file), and the official JSON of ActivityNet, whose form THUMOS14 is passed around in too.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from actionrnn.datasets.errors import ManifestError

ENDINGS = (".csv", ".tsv", ".txt", ".eaf", ".xml", ".json")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


class Annotation(NamedTuple):
    """Something happens in a video; or, without a label, the video was looked through.

    Attributes:
        where: file and line (or entry) of it, for messages.
        video: as it is called there: a path, a name with or without ending, an address.
        label: the class; empty if nothing is said but the video's name.
        start, end: seconds, or numbers of frames from 0; the end is not included.
        in_frames: they are frames.
        group: the recording that the video is from, where that is said.
        part: of an official split, as it is called there.
    """

    where: str
    video: str
    label: str = ""
    start: float = 0.0
    end: float = 0.0
    in_frames: bool = False
    group: str = ""
    part: str = ""


def read_annotations(source: Path) -> list[Annotation]:
    """Every annotation of a file, or of all files of a folder.

    Raises:
        ManifestError: naming the file, and line or entry, for what cannot be understood.
    """
    from actionrnn.datasets.own.annotation_json import read_json
    from actionrnn.datasets.own.annotation_tables import read_table
    from actionrnn.datasets.own.annotation_xml import read_xml

    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise ManifestError(f"--source {source}: no file in it ends in {', '.join(ENDINGS)}")
    found: list[Annotation] = []
    for file in files:
        ending = file.suffix.lower()
        if ending not in ENDINGS:
            raise ManifestError(f"--source {file}: must end in one of {', '.join(ENDINGS)}")
        read = {".json": read_json, ".eaf": read_xml, ".xml": read_xml}.get(ending, read_table)
        found += read(file)
    return found


def seconds_of(text: str, where: str) -> float:
    """Seconds, as a number or as `1:02:03.5`.

    Raises:
        ManifestError: if it is neither.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock:
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ManifestError(f"{where}: time {text!r} is neither seconds nor h:mm:ss")
    return value


def mentioned(where: str, videos: Iterable[str]) -> list[Annotation]:
    """Videos that were looked through, whatever was found."""
    return [Annotation(where, video) for video in videos]
