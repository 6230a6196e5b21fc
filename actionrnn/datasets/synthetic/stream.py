"""The `stream` variant: long recordings of actions with pauses, whose times are known to a frame.

A group is one recording. All its takes are filmed in all classes, as in `decisive`: the object is
there for a span of frames and the scene is empty before and after; the clips follow one another in
random order. Whether something happens is seen in one frame; what it is (which of two time-reversed
partners) only in their order, so that a window that forgets the order guesses.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrnn.datasets.synthetic.actions import PAIRS
from actionrnn.datasets.synthetic.takes import FRAMES_PER_SECOND, Take, render_pair, reverse_span

BACKGROUND = "background"


class Shot(NamedTuple):
    """One action of a recording: its class, its start, and when the first frame without it is."""

    label: str
    start_seconds: float
    end_seconds: float


class Stream:
    """One recording: the takes of a group in every class, in random order.

    Args:
        takes: decisive ones, of one group.
        size: side of the picture in pixels.
        seed: of the order.

    Attributes:
        shots: what happens, in order.
        num_frames: of all of it.
    """

    def __init__(self, takes: list[Take], size: int, seed: int) -> None:
        self._size = size
        scenes = [(take, pair, side) for take in takes for pair in PAIRS for side in (0, 1)]
        order = np.random.default_rng([seed, 4, takes[0].group]).permutation(len(scenes))
        self._scenes = [scenes[place] for place in order]
        self.shots: list[Shot] = []
        self.num_frames = 0
        for take, pair, side in self._scenes:
            start, end = ((self.num_frames + edge) / FRAMES_PER_SECOND for edge in take.span)
            self.shots.append(Shot(pair.falling if side else pair.rising, start, end))
            self.num_frames += len(take.pose)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Its pictures, uint8 (size, size, 3) each."""
        for take, pair, side in self._scenes:
            frames = render_pair(pair, take, self._size)
            yield from reverse_span(frames, take.span) if side else frames
