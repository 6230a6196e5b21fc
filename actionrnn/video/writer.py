"""Frames become a video file."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrnn.files import published

_UNIT = Fraction(1, 90_000)  # of time stamps, as MPEG has it


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames (H, W, 3), all of one size, and publish the file when it is whole.

    See `VideoWriter`.
    """
    with VideoWriter(path, fps, codec, options) as writer:
        for pixels in frames:
            writer.add(pixels)


class VideoWriter:
    """A video file that grows frame by frame, and is there when its block ends well.

    Args:
        path: where to; the ending chooses the container.
        fps: frames per second.
        codec: an FFmpeg encoder.
        options: its options.

    Raises:
        ValueError: at the end, if there was no frame.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._codec = codec
        self._options: dict[str, object] = dict(options or {})
        self._stack = ExitStack()
        self._opened: tuple[OutputContainer, VideoStream] | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def add(self, pixels: NDArray[np.uint8], seconds: float | None = None) -> None:
        """One more frame, RGB (H, W, 3); odd sizes need a codec that takes them.

        Args:
            pixels: all frames have one size.
            seconds: its time in the file, the first at 0; given for every frame, or for none.
        """
        if self._opened is None:
            self._opened = self._open(pixels.shape[0], pixels.shape[1], seconds is not None)
        container, stream = self._opened
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if seconds is not None:
            frame.pts, frame.time_base = round(seconds / _UNIT), _UNIT
        container.mux(stream.encode(frame))

    def _open(self, height: int, width: int, timed: bool) -> tuple[OutputContainer, VideoStream]:
        temporary = self._stack.enter_context(published(self.path, self.path.suffix))
        container = self._stack.enter_context(av.open(str(temporary), "w"))
        stream = cast(VideoStream, container.add_stream(self._codec, rate=self._rate))
        stream.options = self._options
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = height, width
        if timed:
            stream.codec_context.time_base = _UNIT
        return container, stream

    def close(self) -> None:
        """Publish it.

        Raises:
            ValueError: if there was no frame.
        """
        with self._stack:
            if self._opened is None:
                raise ValueError(f"{self.path}: no frames to write")
            container, stream = self._opened
            container.mux(stream.encode(None))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish it, or remove what there is of it."""
        if error is None:
            self.close()
        else:
            self._stack.__exit__(kind, error, trace)
