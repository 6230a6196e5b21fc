"""What opening the files of a dataset tells: no video, no readable one, shorter than its segments.

`actionrnn verify` decodes every frame; what is found here needs containers alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrnn.progress import Item, Result, in_threads
from actionrnn.video.errors import VideoError
from actionrnn.video.images import DEFAULT_FPS, numbered_images
from actionrnn.video.index import index_frames
from actionrnn.video.probe import open_container, why_no_video

# Annotations round; what ends this much after its file is not worth a word.
_ROUNDING_SECONDS = 0.5


class Segment(NamedTuple):
    """A file, and from where to where in seconds; None is its start, or its end."""

    path: Path
    start_seconds: float | None
    end_seconds: float | None


def frame_times(path: Path) -> NDArray[np.float64]:
    """When each frame of a video begins, and when the last one ends, in seconds.

    Raises:
        VideoError: if it cannot be read.
    """
    found = index_frames(str(path))
    end = float(found.timestamps_seconds[-1]) + 1 / found.fps
    return np.append(found.timestamps_seconds, end)


def read_each(
    read: Callable[[Item], Result], items: Sequence[Item], what: str, num_threads: int = 8
) -> tuple[dict[Item, Result], dict[Item, str]]:
    """What `read` makes of every item, and why some cannot be read; see `in_threads`."""

    def result_or_error(item: Item) -> Result | VideoError:
        try:
            return read(item)
        except VideoError as error:
            return error

    results = in_threads(result_or_error, items, what, num_threads)
    both = dict(zip(items, results, strict=True))
    return (
        {item: each for item, each in both.items() if not isinstance(each, VideoError)},
        {item: each.reason for item, each in both.items() if isinstance(each, VideoError)},
    )


def unreadable(paths: Sequence[Path]) -> dict[Path, str]:
    """Why a file, or folder of pictures, cannot be opened; only headers are read."""

    def open_one(path: Path) -> None:
        if path.is_dir():
            numbered_images(path)
        else:
            open_container(str(path)).close()

    return read_each(open_one, paths, "opening every clip")[1]


def no_videos(paths: Sequence[Path]) -> dict[Path, str]:
    """Why files of endings that are no video's are none; readable ones are left out."""
    reasons = in_threads(lambda path: why_no_video(str(path)), paths, "looking into other files")
    return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def outside_of_files(segments: Sequence[Segment]) -> dict[Segment, str]:
    """The segments that begin or end after their file does; unreadable files are left out."""
    cut = [s for s in segments if s.start_seconds is not None or s.end_seconds is not None]
    paths = sorted({segment.path for segment in cut if segment.path.exists()})
    lengths, _ = read_each(_seconds, paths, "timing segments")
    found = {}
    for segment in cut:
        length = lengths.get(segment.path)
        if length is None:
            continue
        if (segment.start_seconds or 0.0) >= length:
            found[segment] = f"begins at {segment.start_seconds} s, the file ends at {length:g} s"
        elif segment.end_seconds is not None and segment.end_seconds > length + _ROUNDING_SECONDS:
            found[segment] = f"ends at {segment.end_seconds} s, the file at {length:g} s"
    return found


def _seconds(path: Path) -> float:
    """How long a file, or a folder of pictures, lasts."""
    if path.is_dir():
        return len(numbered_images(path)[1]) / DEFAULT_FPS
    return round(float(frame_times(path)[-1]), 3)
