"""One clip, from file to the pictures of every view."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from actionrnn.video.errors import VideoShorter
from actionrnn.video.reader import open_video
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform


@dataclass(frozen=True)
class ClipFrames:
    """The sampled frames of a clip.

    Attributes:
        frames: uint8 (V, T, 3, size, size); temporal views first, then spatial ones.
        indices: frame indices of each temporal view.
        timestamps_seconds: their presentation times.
        reader: name and version of the decoder.
        warnings: what was odd about the file.
    """

    frames: Tensor
    indices: list[list[int]]
    timestamps_seconds: list[list[float]]
    reader: str
    warnings: tuple[str, ...]


def read_clip(
    path: str | os.PathLike[str],
    sampling: Sampling,
    transform: Transform,
    reader: str = "auto",
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> ClipFrames:
    """Read the frames that `sampling` chooses, as `transform` shapes them.

    Where fewer frames can be decoded than the file promises, the choice is made again among
    those that are truly there, with a warning; frames are never invented.

    Raises:
        VideoError: if not a single frame can be read.
    """
    video = open_video(path, reader, start_seconds, end_seconds)
    num_frames, warnings = video.num_frames, video.warnings
    try:
        for _ in range(2):
            views = sampling.indices(num_frames, video.timestamps_seconds[:num_frames])
            needed = sorted({index for view in views for index in view})
            try:
                frames = video.read(needed)
                break
            except VideoShorter as shorter:
                if not 0 < shorter.num_frames < num_frames:
                    raise
                num_frames, warnings = shorter.num_frames, (*warnings, shorter.reason)
        pictures = transform(frames)
        times = video.timestamps_seconds
        place = {index: number for number, index in enumerate(needed)}
        stacked = [pictures[:, [place[index] for index in view]] for view in views]
        return ClipFrames(
            torch.cat(stacked),
            views,
            [[float(times[index]) for index in view] for view in views],
            f"{video.name} {video.version}",
            warnings,
        )
    finally:
        video.close()
