"""Frames of a stream at a fixed rate in time, by their time stamps: as clips are sampled."""

import time
from collections import deque
from statistics import median
from typing import NamedTuple

from torch import Tensor

from actionrnn.video.sources import Frame
from actionrnn.video.transform import Transform

# A stream's last frame is shown as long as most of so many before it.
_STEPS_REMEMBERED = 1000
_ROUNDING_SECONDS = 1e-9  # as `Sampling` allows


class Sample(NamedTuple):
    """What is shown at a moment.

    Attributes:
        seconds: the moment, the middle of the time that the sample stands for.
        pictures_SCHW: uint8, every spatial view, as the backbone takes it.
        stretch: see `Frame`.
        arrived: when the frame was there, on this machine's monotonic clock.
    """

    seconds: float
    pictures_SCHW: Tensor
    stretch: int
    arrived: float


class RateSampler:
    """The frame shown at (k + 0.5) / rate seconds of each stretch, k = 0, 1, ...

    The very frames that `Sampling` takes in mode `fps` from a file. Which one is shown at a moment
    is known when the next has come, so that a sample is one frame late.

    Args:
        rate: samples per second.
        transform: to the pictures of the backbone.
    """

    def __init__(self, rate: float, transform: Transform) -> None:
        self.rate = rate
        self.span_seconds = 1 / rate
        self._transform = transform
        self._held: Frame | None = None
        self._arrived = 0.0
        self._pictures: Tensor | None = None
        self._began_seconds = 0.0
        self._num_taken = 0
        self._steps: deque[float] = deque(maxlen=_STEPS_REMEMBERED)

    def add(self, frame: Frame) -> list[Sample]:
        """The samples that are known with the next frame."""
        samples = []
        if self._held is not None and self._held.stretch != frame.stretch:
            samples = self.finish()
        if self._held is None:
            self._began_seconds, self._num_taken = frame.seconds, 0
        else:
            while self._next_seconds + _ROUNDING_SECONDS < frame.seconds - self._began_seconds:
                samples.append(self._take())
            self._steps.append(frame.seconds - self._held.seconds)
        self._held, self._arrived, self._pictures = frame, time.monotonic(), None
        return samples

    def finish(self) -> list[Sample]:
        """The samples at the end of a stretch, while its last frame is still shown."""
        if self._held is None:
            return []
        shown = median(self._steps) if self._steps else 1.0
        duration = self._held.seconds - self._began_seconds + shown
        count = max(1, round(duration * self.rate))
        samples = [self._take() for _ in range(count - self._num_taken)]
        self._held = None
        self._steps.clear()
        return samples

    @property
    def _next_seconds(self) -> float:
        """The next moment, from the start of the stretch."""
        return (self._num_taken + 0.5) / self.rate

    def _take(self) -> Sample:
        assert self._held is not None
        if self._pictures is None:
            self._pictures = self._transform(self._held.pixels[None])[:, 0]
        seconds = self._began_seconds + self._next_seconds
        self._num_taken += 1
        return Sample(seconds, self._pictures, self._held.stretch, self._arrived)
