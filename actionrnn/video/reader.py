"""A file goes in, exact frames come out: frame `i` is the `i`-th of a sequential decode."""

import importlib.metadata
import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from actionrnn.places import at_hand, is_remote
from actionrnn.video.errors import VideoError, VideoNotFound, VideoShorter

# What becomes of a frame uint8 (H, W, 3) as soon as it is decoded.
Shape = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
ReaderName = Literal["auto", "decord", "pyav", "torchcodec", "torchcodec-cuda"]


def as_decoded(frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame itself."""
    return frame_HWC


class Closes(ABC):
    """What is closed at the end of a `with` statement."""

    @abstractmethod
    def close(self) -> None:
        """Free what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class FrameReader(Closes):
    """An open video; a `with` statement closes it.

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

    @abstractmethod
    def read(self, indices: Sequence[int], shape: Shape = as_decoded) -> NDArray[np.uint8]:
        """Frames in the order asked, repeats allowed, uint8 RGB (N, H, W, 3), upright.

        With `shape` what it makes of each: a long video then needs no memory for its large frames.

        Raises:
            VideoShorter: if fewer frames can be decoded than `num_frames`, which is then, with
                `timestamps_seconds`, set to the truth; choose among those and read again.
            VideoError: if decoding fails.
            IndexError: for an index outside 0 <= i < num_frames.
        """


# Every reader and its package. `ReaderName` lists the same, for settings.
READER_PACKAGES = {
    "pyav": "av", "decord": "decord", "torchcodec": "torchcodec", "torchcodec-cuda": "torchcodec",
}  # fmt: skip


def reader_names() -> list[str]:
    """The readers installed here, the default first."""
    return [name for name, package in READER_PACKAGES.items() if importlib.util.find_spec(package)]


def resolve_reader(reader: str) -> str:
    """The reader that `auto` means here, or the given one.

    Raises:
        ValueError: if there is no such reader, or it is not installed.
    """
    names = reader_names()
    chosen = names[0] if reader == "auto" else reader
    if chosen not in names:
        there, brought = ", ".join(names), chosen.startswith("torchcodec")
        more = "; pip install 'actionrnn[torchcodec]' brings it" if brought else ""
        raise ValueError(f"reader {reader!r} is not available; installed: {there}{more}")
    return chosen


def reader_version(reader: str) -> str:
    """Name and version of an installed reader, as it is recorded with what it read."""
    return f"{reader} {importlib.metadata.version(READER_PACKAGES[reader])}"


def open_video(
    path: str | os.PathLike[str],
    reader: str = "auto",
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> FrameReader:
    """Open a video, or the part of it from `start_seconds` up to `end_seconds`.

    A folder of numbered pictures is a video too. Of an address a local copy is read, which is held
    until the reader is closed. `auto` is PyAV, which reads every file exactly, and nearly every one
    for the least CPU time (`tests/benchmarks/bench_video.py`); others give its frames, or refuse.

    Raises:
        DecoderRefused: if another reader than PyAV would not be exact on the file.
        VideoError: saying what is wrong with it.
        ValueError: if the reader is not installed.
    """
    name = os.fspath(path)
    chosen = resolve_reader(reader)
    if is_remote(name):
        return CopyReader(name, reader, start_seconds, end_seconds)
    if os.path.isdir(name):
        from actionrnn.video.images import ImageFolderReader

        return ImageFolderReader(name, start_seconds, end_seconds)
    if chosen == "decord":
        from actionrnn.video.decord import DecordReader

        return DecordReader(name, start_seconds, end_seconds)
    if chosen.startswith("torchcodec"):
        from actionrnn.video.torchcodec import TorchCodecCudaReader, TorchCodecReader

        kind = TorchCodecCudaReader if chosen.endswith("cuda") else TorchCodecReader
        return kind(name, start_seconds, end_seconds)
    from actionrnn.video.pyav import PyAVReader

    return PyAVReader(name, start_seconds, end_seconds)


class CopyReader(FrameReader):
    """The reader of an address's local copy. See FrameReader."""

    def __init__(
        self, path: str, reader: str, start_seconds: float | None, end_seconds: float | None
    ) -> None:
        self._path = path
        with ExitStack() as held, errors_about(path):
            copy = held.enter_context(video_at_hand(path))
            self._reader = held.enter_context(open_video(copy, reader, start_seconds, end_seconds))
            self._held = held.pop_all()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def close(self) -> None:
        """See FrameReader."""
        self._held.close()

    def read(self, indices: Sequence[int], shape: Shape = as_decoded) -> NDArray[np.uint8]:
        """See FrameReader."""
        with errors_about(self._path):
            return self._reader.read(indices, shape)


@contextmanager
def video_at_hand(path: str) -> Iterator[str]:
    """A local file with a video of an address; see `places.at_hand`.

    Raises:
        VideoNotFound: if there is none.
        Unreachable: if it cannot be fetched.
    """
    try:
        with at_hand(path) as copy:
            yield str(copy)
    except FileNotFoundError as error:
        raise VideoNotFound(path, "there is no such object") from error


@contextmanager
def errors_about(path: str) -> Iterator[None]:
    """What is wrong with the copy of an address is wrong with the address."""
    try:
        yield
    except VideoError as error:
        raise error.about(path) from error.__cause__


def read_chosen(
    video: FrameReader, choose: Callable[[], Sequence[int]], shape: Shape = as_decoded
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The frames that `choose` asks for, and what was odd.

    It is called again where fewer can be decoded than promised; `video` then knows its length.

    Raises:
        VideoError: if not a single frame can be read.
    """
    try:
        return video.read(choose(), shape), ()
    except VideoShorter as shorter:
        if not shorter.num_frames:
            raise
        return video.read(choose(), shape), (shorter.reason,)
