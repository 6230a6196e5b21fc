"""One clip, from file to the pictures of every view."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from actionrnn.video.reader import FrameReader, open_video, read_chosen
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

LEFT_OUT = "sampling does not reach"  # begins the warning of a clip whose end is not seen


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
    with open_video(path, reader, start_seconds, end_seconds) as video:
        # Each as it comes, (S, 3, size, size), so that no more of a long video is held.
        frames_NSCHW, notes = read_chosen(
            video,
            lambda: _needed(_views(video, sampling)),
            lambda frame: transform(frame[None])[:, 0].numpy(),
        )
        views = _views(video, sampling)
        pictures = torch.from_numpy(frames_NSCHW).transpose(0, 1)
        times = video.timestamps_seconds
        if left := sampling.unseen_seconds(times):
            notes = (*notes, f"{LEFT_OUT} its last {left:.1f} s")
        place = {index: number for number, index in enumerate(_needed(views))}
        if views == [list(place)]:
            stacked = pictures.contiguous()  # a long video is not copied once more
        else:
            chosen = [pictures[:, [place[index] for index in view]] for view in views]
            stacked = torch.cat(chosen)
        return ClipFrames(
            stacked,
            views,
            [[float(times[index]) for index in view] for view in views],
            f"{video.name} {video.version}",
            (*video.warnings, *notes),
        )


def _views(video: FrameReader, sampling: Sampling) -> list[list[int]]:
    return sampling.indices(video.num_frames, video.timestamps_seconds)


def _needed(views: list[list[int]]) -> list[int]:
    return sorted({index for view in views for index in view})


@dataclass
class ClipRequest:
    """`read_clip` with its arguments."""

    path: str
    sampling: Sampling
    transform: Transform
    reader: str = "auto"
    start_seconds: float | None = None
    end_seconds: float | None = None

    def answer(self) -> ClipFrames:
        """See `isolate.Request`."""
        return read_clip(**vars(self))
