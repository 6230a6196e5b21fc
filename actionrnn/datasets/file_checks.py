"""What opening the files of a dataset tells: no video, no readable one, shorter than its segments.

`actionrnn verify` decodes every frame; what is found here needs containers alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from actionrnn.progress import in_threads
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


def unreadable(paths: Sequence[Path]) -> dict[Path, str]:
    """Why a file, or folder of pictures, cannot be opened; only headers are read."""

    def why(path: Path) -> str:
        try:
            if path.is_dir():
                numbered_images(path)
            else:
                open_container(str(path)).close()
        except VideoError as error:
            return error.reason
        return ""

    return _reasons(paths, in_threads(why, paths, "opening every clip"))


def no_videos(paths: Sequence[Path]) -> dict[Path, str]:
    """Why files of endings that are no video's are none; readable ones are left out."""
    return _reasons(
        paths, in_threads(lambda path: why_no_video(str(path)), paths, "looking into other files")
    )


def outside_of_files(segments: Sequence[Segment]) -> dict[Segment, str]:
    """The segments that begin or end after their file does; unreadable files are left out."""
    cut = [s for s in segments if s.start_seconds is not None or s.end_seconds is not None]
    paths = sorted({segment.path for segment in cut if segment.path.exists()})
    lengths = dict(zip(paths, in_threads(_seconds, paths, "timing segments"), strict=True))
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


def _reasons(paths: Sequence[Path], reasons: Sequence[str]) -> dict[Path, str]:
    return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def _seconds(path: Path) -> float | None:
    """How long a file, or a folder of pictures, lasts."""
    try:
        if path.is_dir():
            return len(numbered_images(path)[1]) / DEFAULT_FPS
        found = index_frames(str(path))
    except VideoError:
        return None
    return round(float(found.timestamps_seconds[-1]) + 1 / found.fps, 3)
