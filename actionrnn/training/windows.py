"""Windows of long recordings as batches: random ones to train on, consecutive ones to score.

Features of a recording are stored once, at a fixed rate; a window is a stretch of its steps. Of
consecutive windows each counts with its last steps alone, where it has seen the most:

- half a window from one to the next (the default) gives every step a past of half to a whole
  window, which are the scores of `live` and `timeline` with `--history restart`, to the step;
- one step from one to the next gives every step exactly the last `window` steps (`window`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.timelines import label_ids_at
from actionrnn.features.store import FeatureStore
from actionrnn.training.batches import Batch, BatchOrder


@dataclass(frozen=True)
class WindowSettings:
    """How windows are cut from recordings.

    Args:
        window: steps of a window.
        stride: training has a window that ends at a random step of every `stride` steps.
        test_stride: steps from one window to the next where recordings are scored; null is half a
            window.

    Raises:
        ValueError: for a number out of range.
    """

    window: int = 128
    stride: int = 16
    test_stride: int | None = None

    def __post_init__(self) -> None:
        if self.window < 2 or self.window % 2:
            raise ValueError(f"--data.window {self.window}: an even number from 2 on")
        for name, value in (("stride", self.stride), ("test_stride", self.step)):
            if not 1 <= value <= self.window:
                raise ValueError(
                    f"--data.{name} {value}: must be from 1 to the window's {self.window}"
                )

    @property
    def step(self) -> int:
        """Steps from one scored window to the next."""
        return self.window // 2 if self.test_stride is None else self.test_stride


class Windows(NamedTuple):
    """Stretches of recordings.

    Attributes:
        recording_M: which recording, int64.
        start_M: its first step.
        length_M: its steps.
        counted_M: how many of them, the last ones, count.
    """

    recording_M: Tensor
    start_M: Tensor
    length_M: Tensor
    counted_M: Tensor


def consecutive_windows(lengths_N: Tensor, window: int, step: int) -> Windows:
    """Windows that follow one another; every step of every recording counts once.

    Args:
        lengths_N: steps of the recordings.
        window: steps of a window.
        step: steps from one to the next, 1 <= step <= window.
    """
    rows = []
    for recording, length in enumerate(lengths_N.tolist()):
        start, end = 0, 0
        while end < length:
            before, end = end, min(start + window, length)
            rows.append((recording, start, end - start, end - before))
            start += step
    return Windows(*torch.tensor(rows).unbind(dim=1))


def random_windows(
    lengths_N: Tensor, window: int, stride: int, generator: torch.Generator
) -> Windows:
    """For every `stride` steps of a recording a window that ends at a random one of them.

    Every step is as likely as any other to be a window's last; near a recording's start windows
    are short, as a stream's past is.
    """
    counts_N = -(-lengths_N // stride)
    recording_M = torch.arange(len(lengths_N)).repeat_interleave(counts_N)
    first_M = torch.cat([torch.arange(count) for count in counts_N.tolist()]) * stride
    room_M = (lengths_N[recording_M] - first_M).clamp(max=stride)
    share_M = torch.rand(len(room_M), generator=generator, dtype=torch.float64)
    end_M = first_M + (share_M * room_M).long() + 1
    start_M = (end_M - window).clamp(min=0)
    return Windows(recording_M, start_M, end_M - start_M, torch.ones_like(start_M))


def step_labels(part: Manifest, store: FeatureStore) -> dict[str, Tensor]:
    """Class of every step of every readable recording of a part, int64 (T,) each.

    A step stands for the moment in the middle of its time.
    """
    found = {}
    for video_id in part.table["video_id"]:
        if video_id in store:
            (position,) = store.positions([video_id])
            moments_T = np.arange(0.5, int(store.lengths[position]))
            seconds_T = moments_T / store.spec.settings.sampling.fps
            labels_T = label_ids_at(part.segments(video_id), part.class_names, seconds_T)
            found[video_id] = torch.from_numpy(labels_T)
    return found


class WindowLoader:
    """Batches of windows, each one gather from the store.

    Args:
        store: features of the recordings.
        position_N: of each recording in the store.
        index_N: row of each in its split.
        labels_F: class of every step of all of them, one after another, int64.
        order: which windows make up a batch; its rows are windows.
        settings: how they are cut.
        random: random windows, anew in every epoch, one random view each; else consecutive ones
            and all views.
        device: where batches are wanted; see `FeatureLoader`.
    """

    def __init__(
        self,
        store: FeatureStore,
        position_N: Tensor,
        index_N: Tensor,
        labels_F: Tensor,
        order: BatchOrder,
        settings: WindowSettings,
        random: bool,
        device: str = "cpu",
    ) -> None:
        self.store = store
        self.device = device
        self.batch_sampler = None
        self._position_N, self._index_N, self._labels_F = position_N, index_N, labels_F
        self._lengths_N = store.lengths[position_N]
        self._first_N = self._lengths_N.cumsum(0) - self._lengths_N
        self._settings, self._random = settings, random
        self._consecutive = consecutive_windows(self._lengths_N, settings.window, settings.step)
        count = len(self._windows(order).recording_M)
        self.sampler = replace(order, num_rows=count)  # the Trainer calls sampler.set_epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        if self.device.startswith("cuda"):
            self.store.hold_on(self.device)
        windows = self._windows(self.sampler)
        view_M = self.sampler.random_views(self.store.num_views) if self._random else None
        for rows in self.sampler:
            views = list(range(self.store.num_views)) if view_M is None else [view_M[rows]]
            yield self._gather(Windows(*(each[rows] for each in windows)), views)

    def _windows(self, order: BatchOrder) -> Windows:
        if not self._random:
            return self._consecutive
        settings, generator = self._settings, order.generator(purpose=2)
        return random_windows(self._lengths_N, settings.window, settings.stride, generator)

    def _gather(self, windows: Windows, views: list[int] | list[Tensor]) -> Batch:
        position_B = self._position_N[windows.recording_M]
        stretch = windows.start_M, windows.length_M
        gathered = [self.store.gather(position_B, view, stretch) for view in views]
        step_T = torch.arange(int(windows.length_M.max()))
        frame_B = self._first_N[windows.recording_M] + windows.start_M
        frame_BT = frame_B[:, None] + step_T
        valid_BT = step_T < windows.length_M[:, None]
        last_B = windows.length_M - 1
        target_BT = self._labels_F[frame_BT.where(valid_BT, (frame_B + last_B)[:, None])]
        counts_BT = valid_BT & (step_T >= (windows.length_M - windows.counted_M)[:, None])
        return Batch(
            torch.stack([features for features, _ in gathered], dim=1),
            torch.stack([lengths for _, lengths in gathered], dim=1),
            target_BT[:, -1],  # held after a window's end
            self._index_N[windows.recording_M],
            target_BT=target_BT,
            frame_BT=frame_BT.masked_fill(~counts_BT, -1),
        )
