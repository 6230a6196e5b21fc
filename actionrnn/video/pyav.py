"""PyAV behind the FrameReader protocol: one sequential decode, as far as the last frame asked."""

import itertools
from collections.abc import Sequence

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from actionrnn.video.errors import VideoShorter, VideoUnreadable
from actionrnn.video.index import IndexedReader, shorter, times_of
from actionrnn.video.orientation import orientation_of, upright
from actionrnn.video.reader import Shape, as_decoded
from actionrnn.video.room import Gathered
from actionrnn.video.sequential import decoded_frames

Size = tuple[int, int]  # width and height in pixels


class UprightPixels:
    """Converts decoded pictures to what is to be shown."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()  # one for all: setting one up takes a millisecond

    def of_file(
        self, path: str, number: int, frame: av.VideoFrame, size: Size
    ) -> NDArray[np.uint8]:
        """Those of a file's frame.

        Raises:
            VideoUnreadable: if they cannot be converted.
        """
        try:
            return self(frame, size)
        except (av.FFmpegError, ValueError) as error:
            reason = f"frame {number} cannot be converted to RGB ({error})"
            raise VideoUnreadable(path, reason) from error

    def __call__(self, frame: av.VideoFrame, size: Size) -> NDArray[np.uint8]:
        """Pixels, uint8 RGB (H, W, 3), upright, scaled to `size` before they are turned.

        Raises:
            ValueError: if they cannot be converted; FFmpeg's own errors may be others.
        """
        picture = self._reformatter.reformat(
            frame, *size, format="rgb24", interpolation=Interpolation.BILINEAR, threads=1
        )
        return upright(picture.to_ndarray().astype(np.uint8, copy=False), orientation_of(frame))


class PyAVReader(IndexedReader):
    """See FrameReader."""

    name = "pyav"
    version = av.__version__

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        super().__init__(path, start_seconds, end_seconds)
        self._pixels_of = UprightPixels()

    def read(self, indices: Sequence[int], shape: Shape = as_decoded) -> NDArray[np.uint8]:
        """See FrameReader."""
        numbers = self._numbers(indices)
        found = Gathered(set(numbers))
        stamps: list[int | None] = []
        num_damaged = 0
        unit_seconds = 1.0
        sizes: list[Size] = []
        passed = itertools.islice(decoded_frames(self.path), max(numbers) + 1)
        for number, frame in enumerate(passed):
            stamps.append(frame.pts)
            unit_seconds = float(frame.time_base or 1)
            num_damaged += bool(frame.is_corrupt)
            if (frame.width, frame.height) not in sizes:
                sizes.append((frame.width, frame.height))
            if number in found:
                pixels = self._pixels_of.of_file(self.path, number, frame, sizes[0])
                found.add(number, shape(pixels))
        self.warnings = self._index.warnings + _oddities(num_damaged, len(stamps), sizes)
        if not stamps:
            raise VideoUnreadable(self.path, "not one frame can be decoded")
        if not found.is_whole:
            promised = self.num_frames
            self._choose(times_of(stamps, unit_seconds, self.fps))
            reason = shorter(promised, self.num_frames)
            raise VideoShorter(self.path, reason, self.num_frames)
        return found.in_order(numbers)

    def close(self) -> None:
        """Nothing is held open between two reads."""


def _oddities(num_damaged: int, num_frames: int, sizes: list[Size]) -> tuple[str, ...]:
    """What was odd about decoded frames, in words."""
    notes = [f"{num_damaged} of {num_frames} frames are damaged"] if num_damaged else []
    if len(sizes) > 1:
        first, second = (f"{width}x{height}" for width, height in sizes[:2])
        notes.append(
            f"its pictures change size, from {first} to {second}; all are scaled to the first"
        )
    return tuple(notes)
