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
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def add(self, pixels: NDArray[np.uint8], seconds: float | None = None) -> None:
        """One more frame, RGB (H, W, 3); odd sizes need a codec that takes them.

        Args:
            pixels: all frames have one size.
            seconds: its time in the file, the first at 0; given for every frame, or for none.
        """
        if self._container is None or self._stream is None:
            self._open(pixels.shape[0], pixels.shape[1], timed=seconds is not None)
        assert self._container is not None
        assert self._stream is not None
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if seconds is not None:
            frame.pts, frame.time_base = round(seconds / _UNIT), _UNIT
        self._container.mux(self._stream.encode(frame))

    def _open(self, height: int, width: int, timed: bool) -> None:
        temporary = self._stack.enter_context(published(self.path, self.path.suffix))
        self._container = self._stack.enter_context(av.open(str(temporary), "w"))
        self._stream = cast(VideoStream, self._container.add_stream(self._codec, rate=self._rate))
        self._stream.options = self._options
        self._stream.pix_fmt = "yuv420p"
        self._stream.height, self._stream.width = height, width
        if timed:
            self._stream.codec_context.time_base = _UNIT

    def close(self) -> None:
        """Publish it.

        Raises:
            ValueError: if there was no frame.
        """
        with self._stack:
            if self._container is None or self._stream is None:
                raise ValueError(f"{self.path}: no frames to write")
            self._container.mux(self._stream.encode(None))

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
