"""Frames become a video file."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


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
    temporary = target.with_name(f".writing-{os.getpid()}-{target.name}")
    written = 0
    try:
        with av.open(str(temporary), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            stream.options = options or {}
            stream.pix_fmt = "yuv420p"
            for pixels in frames:
                stream.height, stream.width = pixels.shape[:2]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                written += 1
            if not written:
                raise ValueError(f"{path}: no frames to write")
            container.mux(stream.encode(None))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
