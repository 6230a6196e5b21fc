"""A file goes in, exact frames come out: frame `i` is the `i`-th of a sequential decode."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from actionrnn.video.errors import VideoNotFound

ReaderName = Literal["auto", "decord", "pyav"]


class FrameReader(Protocol):
    """An open video.

    Attributes:
        name, version: the decoder that reads it.
        num_frames: frames of the chosen part.
        fps: average frames per second.
        timestamps_seconds: presentation time of each frame from the start of the file, float64
            (num_frames,).
        warnings: what is odd about the file, in words.
    """

    name: str
    version: str
    num_frames: int
    fps: float
    timestamps_seconds: NDArray[np.float64]
    warnings: tuple[str, ...]

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Frames in the order asked, repeats allowed, uint8 RGB (N, H, W, 3), upright.

        Raises:
            VideoShorter: if fewer frames can be decoded than `num_frames`.
            VideoError: if decoding fails.
            IndexError: for an index outside 0 <= i < num_frames.
        """

    def close(self) -> None:
        """Free the decoder."""


def reader_names() -> list[str]:
    """The readers installed here, the default first."""
    decoders = {"decord": "decord", "pyav": "av"}
    return [name for name, module in decoders.items() if importlib.util.find_spec(module)]


def resolve_reader(reader: str) -> str:
    """The reader that `auto` means here, or the given one.

    Raises:
        ValueError: if there is no such reader, or it is not installed.
    """
    names = reader_names()
    chosen = names[0] if reader == "auto" else reader
    if chosen not in names:
        raise ValueError(f"reader {reader!r} is not available; installed: {', '.join(names)}")
    return chosen


def reader_version(reader: str) -> str:
    """Name and version of an installed reader, as it is recorded with what it read."""
    module = {"decord": "decord", "pyav": "av"}[reader]
    return f"{reader} {importlib.metadata.version(module)}"


def open_video(
    path: str | os.PathLike[str],
    reader: str = "auto",
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> FrameReader:
    """Open a video, or the part of it from `start_seconds` up to `end_seconds`.

    Raises:
        VideoError: saying what is wrong with the file.
        ValueError: if the reader is not installed.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise VideoNotFound(name, "there is no such file")
    if os.path.isdir(name):
        raise VideoNotFound(name, "this is a directory, not a video file")
    if resolve_reader(reader) == "decord":
        from actionrnn.video.decord import DecordReader

        return DecordReader(name, start_seconds, end_seconds)
    from actionrnn.video.pyav import PyAVReader

    return PyAVReader(name, start_seconds, end_seconds)
