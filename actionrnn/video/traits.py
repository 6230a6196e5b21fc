"""What a clip gives away before anybody watches it: its container, its date, a glance at it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrnn.video.errors import VideoUnreadable
from actionrnn.video.images import ImageFolderReader, numbered_images
from actionrnn.video.index import index_frames
from actionrnn.video.orientation import orientation_of
from actionrnn.video.probe import FFMPEG_ERRORS, open_container, video_stream

_SECONDS_PER_DAY = 86400
# Where in a clip to glance: the keyframes before these shares of it.
_GLANCES = (0.25, 0.75)
# Grey levels of 255, and the share of a row or column that must lie below, to be a black bar.
_BLACK, _BLACK_SHARE = 12, 0.95
_GREY_SIDE = 160


@dataclass(frozen=True)
class Traits:
    """What tells nothing about the action, or should not.

    Attributes:
        width, height: pixels, as it is to be shown.
        fps: frames per second.
        duration_seconds, num_frames: of the clip, as its header says.
        codec: container, codec, pixel format, and the codecs of the sound; of a folder of
            pictures their ending.
        num_bytes, bits_per_second: of the whole file.
        brightness: mean grey level, 0 to 255.
        bars: share of the picture's rows and of its columns that are black bars at its edges.
        day: of the file's last change, since 1970. Whole days: what is copied or unpacked in one
            go has one date.
    """

    width: int
    height: int
    fps: float
    duration_seconds: float
    num_frames: int
    codec: str
    num_bytes: int
    bits_per_second: float
    brightness: float
    bars: tuple[float, float]
    day: int


def traits_of(
    path: str | os.PathLike[str],
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Traits:
    """Read the header of a file, or of a part of it, and two of its keyframes; cheap.

    Raises:
        VideoError: if it is no video, or not one picture of it can be decoded.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        return _of_pictures(name, start_seconds, end_seconds)
    with open_container(name) as container:
        stream = video_stream(container)
        fps, whole_seconds, num_frames = _timing(name, container, stream)
        start = start_seconds or 0.0
        seconds = min(end_seconds or whole_seconds, whole_seconds) - start
        if seconds <= 0:
            raise VideoUnreadable(name, f"it ends before {start:g} s, at {whole_seconds:g} s")
        if seconds < whole_seconds:
            num_frames = max(1, round(seconds * fps))
        pictures = list(_glances(container, stream, start, seconds))
        if not pictures:
            raise VideoUnreadable(name, "not one picture can be decoded")
        width, height = pictures[0].width, pictures[0].height
        if not orientation_of(pictures[0])[0]:
            width, height = height, width
        num_bytes = os.path.getsize(name)
        codec, sounds = stream.codec_context, container.streams.audio
        words = [sound.codec_context.name if sound.codec_context else "?" for sound in sounds]
        return Traits(
            width,
            height,
            fps,
            seconds,
            num_frames,
            " ".join([container.format.name, codec.name, codec.pix_fmt or "", *words]),
            num_bytes,
            8 * num_bytes / whole_seconds,
            *_looks([_grey(frame) for frame in pictures]),
            _day(name),
        )


def _timing(path: str, container: InputContainer, stream: VideoStream) -> tuple[float, float, int]:
    """Frames per second, seconds and frames of a whole file; from its packets if it must be."""
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    seconds = float((stream.duration or 0) * (stream.time_base or 0))
    seconds = seconds or (container.duration or 0) / av.time_base
    if not fps or seconds <= 0:
        index = index_frames(path)
        return index.fps, index.num_frames / index.fps, index.num_frames
    return fps, seconds, stream.frames or max(1, round(seconds * fps))


def _glances(
    container: InputContainer, stream: VideoStream, start: float, seconds: float
) -> Iterator[av.VideoFrame]:
    stream.thread_type = "NONE"
    unit_seconds = float(stream.time_base or 1)
    for share in _GLANCES:
        place = (stream.start_time or 0) + round((start + share * seconds) / unit_seconds)
        try:
            container.seek(place, stream=stream)
            yield next(container.decode(stream))
        except (StopIteration, *FFMPEG_ERRORS):
            continue


def _grey(frame: av.VideoFrame) -> NDArray[np.uint8]:
    grey = frame.reformat(_GREY_SIDE, _GREY_SIDE, format="gray").to_ndarray()
    return grey.astype(np.uint8, copy=False)


def _looks(pictures: list[NDArray[np.uint8]]) -> tuple[float, tuple[float, float]]:
    """Brightness, and bars of rows and of columns, of square grey pictures."""
    dark = np.max(pictures, axis=0) < _BLACK
    bars = [_edges(dark.mean(axis=axis) > _BLACK_SHARE) / _GREY_SIDE for axis in (1, 0)]
    return float(np.mean(pictures)), (bars[0], bars[1])


def _edges(black: NDArray[np.bool_]) -> int:
    """How many are black from either end on; 0 if all are, for that is a dark scene."""
    bright = np.flatnonzero(~black)
    return len(black) - int(bright[-1] - bright[0]) - 1 if len(bright) else 0


def _of_pictures(path: str, start_seconds: float | None, end_seconds: float | None) -> Traits:
    reader = ImageFolderReader(path, start_seconds, end_seconds)
    files = numbered_images(path)[1]
    frames = reader.read([int(share * reader.num_frames) for share in _GLANCES])
    num_bytes = sum(file.stat().st_size for file in files)
    return Traits(
        frames.shape[2],
        frames.shape[1],
        reader.fps,
        reader.num_frames / reader.fps,
        reader.num_frames,
        files[0].suffix.lower(),
        num_bytes,
        8 * num_bytes * reader.fps / len(files),
        *_looks([_grey(av.VideoFrame.from_ndarray(frame, format="rgb24")) for frame in frames]),
        _day(files[0]),
    )


def _day(path: str | os.PathLike[str]) -> int:
    return int(os.path.getmtime(path) // _SECONDS_PER_DAY)
