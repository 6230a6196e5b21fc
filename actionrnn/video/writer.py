"""Frames become a video file."""

import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrnn.files import published


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames (H, W, 3), all of one size, and publish the file when it is whole.

    Args:
        path: where to; the ending chooses the container.
        frames: at least one; odd sizes need a codec that takes them.
        fps: frames per second.
        codec: an FFmpeg encoder.
        options: its options.

    Raises:
        ValueError: if there is no frame.
    """
    target = Path(path)
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise ValueError(f"{path}: no frames to write")
    with published(target, target.suffix) as temporary, av.open(str(temporary), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = cast(VideoStream, container.add_stream(codec, rate=rate))
        stream.options = dict(options or {})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = first.shape[:2]
        for pixels in chain([first], waiting):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
