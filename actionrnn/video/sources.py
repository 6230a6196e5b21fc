"""Frames one after another, with their times: files, raw pictures on a pipe, and what both share.

A reader answers for any frame of a file; a source is watched from its first frame on, once, in
constant memory.
"""

import os
import threading
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from actionrnn.progress import tell
from actionrnn.video.errors import VideoUnreadable
from actionrnn.video.index import index_frames, shorter
from actionrnn.video.pyav import UprightPixels
from actionrnn.video.reader import open_video
from actionrnn.video.sequential import decoded_frames


class Frame(NamedTuple):
    """One frame of a source.

    Attributes:
        seconds: its time since the source began.
        pixels: uint8 RGB (H, W, 3), upright.
        stretch: frames of one stretch follow each other; a new one begins where a connection was
            lost or the clock of a stream jumped.
    """

    seconds: float
    pixels: NDArray[np.uint8]
    stretch: int = 0


class Source(Protocol):
    """Where frames come from.

    Attributes:
        name: for people; without passwords.
        fps: frames per second, as far as it is known before the first.
        goes_on: it does not wait for us, as a camera does not.
        stopped: set, it ends as soon as it can.
    """

    name: str
    fps: float
    goes_on: bool
    stopped: threading.Event

    def frames(self) -> Iterator[Frame]:
        """Every frame, in order, at times that rise; once.

        Raises:
            VideoError: if it cannot be read, or not any more.
        """


class FileSource:
    """A video file, or a folder of numbered pictures; the frames and times of `open_video`.

    Attributes:
        seconds: from its first frame to the end of its last.

    Raises:
        VideoError: if it is no video.
    """

    goes_on = False

    def __init__(self, path: str) -> None:
        self.name = path
        self.stopped = threading.Event()
        self._is_folder = os.path.isdir(path)
        if self._is_folder:
            with open_video(path) as pictures:
                self.fps, self._times = pictures.fps, pictures.timestamps_seconds
        else:
            found = index_frames(path)
            self.fps, self._times = found.fps, found.timestamps_seconds
            for warning in found.warnings:
                tell(f"note: {path!r}: {warning}")
        self.seconds = float(self._times[-1]) + 1 / self.fps

    def frames(self) -> Iterator[Frame]:
        """See `Source`."""
        pictures = self._of_folder() if self._is_folder else self._of_file()
        number = 0
        for seconds, pixels in zip(self._times, pictures, strict=False):
            number += 1
            yield Frame(float(seconds), pixels)
            if self.stopped.is_set():
                return
        if number < len(self._times):
            tell(f"note: {self.name!r}: {shorter(len(self._times), number)}")

    def _of_folder(self) -> Iterator[NDArray[np.uint8]]:
        with open_video(self.name) as pictures:
            for index in range(pictures.num_frames):
                yield pictures.read([index])[0]

    def _of_file(self) -> Iterator[NDArray[np.uint8]]:
        pixels_of, size = UprightPixels(), None
        for number, frame in enumerate(decoded_frames(self.name)):
            size = size or (frame.width, frame.height)  # a later change of size is scaled back
            yield pixels_of.of_file(self.name, number, frame, size)


class RawSource:
    """Bare pictures on a pipe, rgb24, row after row, at a fixed rate.

    Args:
        pipe: they come from.
        width, height: in pixels.
        fps: pictures per second.
    """

    goes_on = False

    def __init__(self, pipe: BinaryIO, width: int, height: int, fps: float) -> None:
        self.name = f"raw {width}x{height} pictures"
        self.fps = fps
        self.stopped = threading.Event()
        self._pipe, self._shape = pipe, (height, width, 3)

    def frames(self) -> Iterator[Frame]:
        """See `Source`."""
        size = int(np.prod(self._shape))
        number = 0
        while not self.stopped.is_set():
            content = self._pipe.read(size)
            if len(content) < size:
                if content:
                    tell(f"note: the last picture is cut: {len(content)} of {size} bytes")
                break
            pixels = np.frombuffer(content, np.uint8).reshape(self._shape).copy()
            yield Frame(number / self.fps, pixels)
            number += 1
        if number == 0:
            raise VideoUnreadable(self.name, f"not one picture came; each has {size} bytes")
