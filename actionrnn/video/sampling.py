"""Which frames of a clip are read."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


def sample_uniform(num_frames: int, num_samples: int) -> list[int]:
    """Centre frame of each of `num_samples` equal segments (TSN, arXiv 1608.00859).

    Short videos repeat frames; the result is sorted and has exactly `num_samples` items.

    Raises:
        ValueError: if either count is not positive.
    """
    if num_frames < 1 or num_samples < 1:
        raise ValueError(
            f"num_frames {num_frames} and num_samples {num_samples} must both be at least 1"
        )
    return [(2 * k + 1) * num_frames // (2 * num_samples) for k in range(num_samples)]


@dataclass(frozen=True)
class Sampling:
    """How frames are chosen; the same file and settings always give the same frames.

    Args:
        mode: `uniform` takes the centres of `num_frames` equal segments; `fps` takes frames at
            a fixed rate in time, so that long clips have more; `dense` takes `num_frames`
            frames `frame_interval` apart.
        num_frames: frames per view (`uniform`, `dense`), the most frames per view (`fps`, which
            then ends before a long clip does, see `unseen_seconds`).
        fps: frames per second of mode `fps`.
        frame_interval: frames from one sample to the next in mode `dense`.
        num_temporal_views: samplings per clip, spread over its length.

    Raises:
        ValueError: for a count or rate that is not positive.
    """

    mode: Literal["uniform", "fps", "dense"] = "uniform"
    num_frames: int = 16
    fps: float = 8.0
    frame_interval: int = 2
    num_temporal_views: int = 1

    def __post_init__(self) -> None:
        for name in ("num_frames", "fps", "frame_interval", "num_temporal_views"):
            if getattr(self, name) <= 0:
                raise ValueError(f"sampling.{name} {getattr(self, name)}: must be positive")

    def indices(self, num_frames: int, timestamps_seconds: NDArray[np.float64]) -> list[list[int]]:
        """Frame indices of each temporal view, each sorted.

        Args:
            num_frames: frames of the clip, at least 1.
            timestamps_seconds: their presentation times, shape (num_frames,).
        """
        views = range(self.num_temporal_views)
        if self.mode == "uniform":
            fine = sample_uniform(num_frames, self.num_frames * self.num_temporal_views)
            return [fine[view :: self.num_temporal_views] for view in views]
        if self.mode == "dense":
            return [self._dense(num_frames, view) for view in views]
        return [self._fixed_rate(timestamps_seconds, view) for view in views]

    def _dense(self, num_frames: int, view: int) -> list[int]:
        span = (self.num_frames - 1) * self.frame_interval + 1
        start = sample_uniform(max(1, num_frames - span + 1), self.num_temporal_views)[view]
        last = num_frames - 1
        return [min(start + k * self.frame_interval, last) for k in range(self.num_frames)]

    def unseen_seconds(self, timestamps_seconds: NDArray[np.float64]) -> float:
        """How much of a clip's end mode `fps` leaves out, for it takes `num_frames` at most.

        Args:
            timestamps_seconds: presentation times of the clip's frames, shape (num_frames,).
        """
        duration_seconds = _duration_seconds(timestamps_seconds)
        if self.mode != "fps" or round(duration_seconds * self.fps) <= self.num_frames:
            return 0.0
        return duration_seconds - self.num_frames / self.fps

    def _fixed_rate(self, timestamps_seconds: NDArray[np.float64], view: int) -> list[int]:
        times = timestamps_seconds - timestamps_seconds[0]
        duration_seconds = _duration_seconds(timestamps_seconds)
        count = min(self.num_frames, max(1, round(duration_seconds * self.fps)))
        offset = (view + 0.5) / self.num_temporal_views
        wanted = (np.arange(count) + offset) / self.fps
        found = np.searchsorted(times, wanted + 1e-9, side="right") - 1
        return [int(index) for index in found.clip(0, len(times) - 1)]


def _duration_seconds(timestamps_seconds: NDArray[np.float64]) -> float:
    """From the first frame to the end of the last, which is shown as long as most."""
    if len(timestamps_seconds) < 2:
        return 1.0
    frame_seconds = float(np.median(np.diff(timestamps_seconds)))
    return float(timestamps_seconds[-1] - timestamps_seconds[0]) + frame_seconds
