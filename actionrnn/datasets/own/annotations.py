"""An annotation of a video, whoever made it: which video, what, from when to when."""

import math
import re
from typing import NamedTuple

from actionrnn.datasets.errors import ManifestError

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
