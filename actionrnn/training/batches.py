"""Which clips make up each batch, and the batches themselves, gathered whole from the store."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from actionrnn.features.store import FeatureStore

# (features (B, T, D), lengths (B,)) to something smaller, (B, T, C), that a head takes instead.
Reduce = Callable[[Tensor, Tensor], Tensor]


class Batch(NamedTuple):
    """A batch of clips, every view of a clip side by side.

    Attributes:
        features_BVTD: float32, zero after each view's own length (or what `Reduce` makes of
            them).
        lengths_BV: int64, valid frames of each view, 1 <= length <= T.
        target_B: int64 class indices; of windows of recordings those of their last steps.
        index_B: int64 row of each clip, or recording, in its split, the key by which results are
            collected.
        is_reduced: the features are what `Reduce` made of them.
        target_BT: of windows, the class of every step, whatever on padding; None for clips.
        frame_BT: of windows, the key of every step that counts: its number among the steps of all
            recordings of the split, -1 elsewhere; None for clips.
    """

    features_BVTD: Tensor
    lengths_BV: Tensor
    target_B: Tensor
    index_B: Tensor
    is_reduced: bool = False
    target_BT: Tensor | None = None
    frame_BT: Tensor | None = None


@dataclass
class BatchOrder:
    """Rows of each batch of one epoch: a pure function of the seed and the epoch.

    Because nothing else enters, a run resumed at an epoch sees the batches of the unbroken run.
    Of `world_size` processes each takes its own share of every batch, and no row is repeated
    except, when `weights` are given, by drawing with replacement.

    Attributes:
        num_rows: rows of the split that can be used.
        batch_size: rows per batch over all processes together.
        shuffle: new order every epoch.
        weights: draw rows with these weights and replacement instead (balanced sampling).
        min_steps: an epoch goes through the rows as often as it takes for so many batches.
    """

    num_rows: int
    batch_size: int
    shuffle: bool = False
    weights: Tensor | None = None
    min_steps: int = 1
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before every epoch."""
        self.epoch = epoch

    def generator(self, purpose: int = 0) -> torch.Generator:
        """The random numbers of this epoch for one purpose, the same in every process."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch + (purpose << 40))

    def random_views(self, num_views: int) -> Tensor:
        """The view of every row in this epoch, int64 (num_rows,), 0 <= view < num_views."""
        return torch.randint(num_views, (self.num_rows,), generator=self.generator(purpose=1))

    def _order(self) -> Tensor:
        generator = self.generator()
        if self.weights is not None:
            return torch.multinomial(
                self.weights.double(), self._num_drawn, replacement=True, generator=generator
            )
        if self.shuffle:
            times = self._num_drawn // self.num_rows
            passes = [torch.randperm(self.num_rows, generator=generator) for _ in range(times)]
            return torch.cat(passes)
        return torch.arange(self.num_rows)

    @property
    def _num_drawn(self) -> int:
        """Rows of an epoch, each as often as every other."""
        wanted = (self.min_steps - 1) * self.batch_size + 1
        return self.num_rows * max(1, -(-wanted // self.num_rows))

    def __len__(self) -> int:
        return -(-self._num_drawn // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for rows in self._order().split(self.batch_size):
            share = rows[self.rank :: self.world_size]
            # A training step is collective: a process whose share is empty repeats a row.
            if len(share) == 0 and self.shuffle:
                share = rows[:1]
            if len(share):
                yield share


class FeatureLoader:
    """Batches of one split, each one gather from the store; no per-clip Python work.

    The store is held in memory, or on `device`, where it fits; see `FeatureStore`.

    Args:
        store: the features.
        video_ids: clips of the split that have features.
        target_N: their class indices.
        index_N: their rows in the whole split (unreadable clips leave gaps).
        order: the rows of each batch.
        random_view: one random view a clip and epoch (training) instead of all views.
        device: where batches are wanted. On a GPU whose memory takes the store, nothing travels.
        reduce: done once for every clip instead of in every epoch, where the results take no more
            memory than the features in the store.
    """

    def __init__(
        self,
        store: FeatureStore,
        video_ids: list[str],
        target_N: Tensor,
        index_N: Tensor,
        order: BatchOrder,
        random_view: bool = False,
        device: str = "cpu",
        reduce: Reduce | None = None,
    ) -> None:
        self.store = store
        self.video_ids = video_ids
        self.device = device
        self._position_N = store.positions(video_ids)
        self.target_N = target_N
        self.index_N = index_N
        self.sampler = order  # the Trainer calls sampler.set_epoch
        self.batch_sampler = None
        self.random_view = random_view
        self._reduce = reduce
        self._reduced_NVTC: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        if self.device.startswith("cuda"):
            self.store.hold_on(self.device)
        if self._reduce is not None and self._reduced_NVTC is None:
            self._reduced_NVTC, self._reduce = self._all_reduced(self._reduce), None
        num_views = self.store.num_views
        view_N = self.sampler.random_views(num_views) if self.random_view else None
        for rows in self.sampler:
            views = list(range(num_views)) if view_N is None else [view_N[rows]]
            yield self._gather(views, rows)

    def _gather(self, views: list[int] | list[Tensor], rows: Tensor) -> Batch:
        position_B = self._position_N[rows]
        if self._reduced_NVTC is None:
            gathered = [self.store.gather(position_B, view) for view in views]
        else:
            lengths_B = self.store.lengths[position_B]
            longest = int(lengths_B.max())
            gathered = [(self._reduced_NVTC[rows, view, :longest], lengths_B) for view in views]
        return Batch(
            _side_by_side([features for features, _ in gathered]),
            _side_by_side([lengths for _, lengths in gathered]),
            self.target_N[rows],
            self.index_N[rows],
            is_reduced=self._reduced_NVTC is not None,
        )

    def _all_reduced(self, reduce: Reduce) -> Tensor | None:
        """Every view of every clip, (N, V, T, C), zero after its end; None if that is too large."""
        lengths_N = self.store.lengths[self._position_N]
        num_views = self.store.num_views
        result_NVTC = None
        for rows in torch.arange(len(lengths_N)).split(self.sampler.batch_size):
            for view in range(num_views):
                features_BTD, lengths_B = self.store.gather(self._position_N[rows], view)
                reduced_BTC = reduce(features_BTD, lengths_B.to(features_BTD.device))
                if result_NVTC is None:
                    shape = len(lengths_N), num_views, int(lengths_N.max()), reduced_BTC.shape[2]
                    if 4 * math.prod(shape) > self.store.num_bytes:
                        return None
                    result_NVTC = reduced_BTC.new_zeros(shape)
                result_NVTC[rows, view, : reduced_BTC.shape[1]] = reduced_BTC
        return result_NVTC


def _side_by_side(views: list[Tensor]) -> Tensor:
    """Stacked along a second dimension; a single view is not copied."""
    return views[0].unsqueeze(1) if len(views) == 1 else torch.stack(views, dim=1)
