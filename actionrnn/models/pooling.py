"""From a vector per frame to a vector per clip, over valid frames only.

Every pooling answers for *each prefix* of a clip: `pooled[:, t]` is what it would give if the
clip ended at t, so that watching a clip frame by frame and reading it whole agree. After a
clip's end the last value is held. The running state is a plain tuple of tensors.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from actionrnn.models.lengths import frame_mask, hold_last, zero_padding
from actionrnn.models.precision import at_least_float32

PoolState = tuple[Tensor, ...]
Pooled = tuple[Tensor, PoolState]

# Scores are bent into (-cap, cap), where exp() neither overflows nor underflows in float32, so
# that a running softmax needs no running maximum.
SCORE_CAP = 20.0


class Pooling(nn.Module, ABC):
    """What a head needs of a pooling.

    Args:
        size: H of the frames, and of what they become.
    """

    macs_per_frame = 0

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size

    @abstractmethod
    def forward(self, hidden_BTH: Tensor, lengths_B: Tensor, state: PoolState) -> Pooled:
        """Pooled prefixes (B, T, output_size), and the state after each clip's end."""

    @abstractmethod
    def initial_state(self, batch_size: int, like: Tensor) -> PoolState:
        """The state before the first frame."""

    def deciding_frame(self, lengths_B: Tensor) -> Tensor:
        """The frame whose pooled vector speaks for the whole clip, (B,): the last valid one."""
        return lengths_B - 1


class FramePooling(Pooling):
    """The vector of one frame: the last, or the middle one, `length // 2` (a control).

    With `last` and two directions, the first `forward_size` units come from the frame and the
    rest from frame 0, where the reading from the end has seen everything.
    """

    def __init__(
        self, size: int, forward_size: int, frame: Literal["last", "middle"] = "last"
    ) -> None:
        super().__init__(size)
        self.forward_size = forward_size
        self.frame = frame

    def initial_state(self, batch_size: int, like: Tensor) -> PoolState:
        """Nothing: the current frame is all."""
        return ()

    def forward(self, hidden_BTH: Tensor, lengths_B: Tensor, state: PoolState) -> Pooled:
        """See `Pooling`."""
        held_BTH = hold_last(hidden_BTH, lengths_B)
        if self.forward_size == self.output_size:
            return held_BTH, ()
        backward_BTH = held_BTH[:, :1, self.forward_size :].expand(-1, held_BTH.shape[1], -1)
        return torch.cat([held_BTH[:, :, : self.forward_size], backward_BTH], dim=2), ()

    def deciding_frame(self, lengths_B: Tensor) -> Tensor:
        """The last or the middle valid frame."""
        return lengths_B - 1 if self.frame == "last" else lengths_B // 2


class MeanPooling(Pooling):
    """The mean over the frames seen so far. State: their sum (B, H) and number (B, 1)."""

    def initial_state(self, batch_size: int, like: Tensor) -> PoolState:
        """No frame yet."""
        return like.new_zeros(batch_size, self.output_size), like.new_zeros(batch_size, 1)

    def forward(self, hidden_BTH: Tensor, lengths_B: Tensor, state: PoolState) -> Pooled:
        """See `Pooling`."""
        mask_BT1 = frame_mask(lengths_B, hidden_BTH.shape[1])[:, :, None].to(state[1].dtype)
        sum_BTH = zero_padding(hidden_BTH, lengths_B).cumsum(dim=1) + state[0][:, None]
        count_BT1 = mask_BT1.cumsum(dim=1) + state[1][:, None]
        return sum_BTH / count_BT1, (sum_BTH[:, -1], count_BT1[:, -1])


class MaxPooling(Pooling):
    """The largest value so far of each unit. State: that value (B, H)."""

    def initial_state(self, batch_size: int, like: Tensor) -> PoolState:
        """Below every number."""
        return (like.new_full((batch_size, self.output_size), -torch.inf),)

    def forward(self, hidden_BTH: Tensor, lengths_B: Tensor, state: PoolState) -> Pooled:
        """See `Pooling`."""
        largest_BTH = hold_last(hidden_BTH, lengths_B).cummax(dim=1).values
        pooled_BTH = torch.maximum(largest_BTH, state[0][:, None])
        return pooled_BTH, (pooled_BTH[:, -1],)


class AttentionPooling(Pooling):
    """Softmax-weighted mean over the frames seen so far.

    Args:
        size: H of the frames.
        num_queries: learned queries, each weighing its own share of the units.
        scorer: `additive` is `u . tanh(W h + b)` (Yang et al. 2016); `linear` is `w . h`, to
            which the keys of multi-head attention reduce when its query is a parameter.

    State: sum of weights (B, Q) and of weighted units (B, H).
    """

    def __init__(
        self, size: int, num_queries: int = 1, scorer: Literal["additive", "linear"] = "additive"
    ) -> None:
        super().__init__(size)
        self.num_queries = num_queries
        layers = [nn.Linear(size, size), nn.Tanh()] if scorer == "additive" else []
        self.score = nn.Sequential(*layers, nn.Linear(size, num_queries, bias=False))
        self.macs_per_frame = size * num_queries + (size * size if layers else 0)

    def initial_state(self, batch_size: int, like: Tensor) -> PoolState:
        """No frame yet."""
        return (
            like.new_zeros(batch_size, self.num_queries),
            like.new_zeros(batch_size, self.output_size),
        )

    def weights(self, hidden_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        """Unnormalised weights, zero on padding, (B, T, Q)."""
        return zero_padding(self.weight_of(self.score(hidden_BTH)), lengths_B)

    @staticmethod
    def weight_of(score: Tensor) -> Tensor:
        """exp(score) > 0, of a score bent into the range where it is exact enough."""
        return (SCORE_CAP * torch.tanh(at_least_float32(score) / SCORE_CAP)).exp()

    def forward(self, hidden_BTH: Tensor, lengths_B: Tensor, state: PoolState) -> Pooled:
        """See `Pooling`."""
        weight_BTQ = self.weights(hidden_BTH, lengths_B)
        by_query = (*hidden_BTH.shape[:2], self.num_queries, -1)
        units_BTQU = zero_padding(hidden_BTH, lengths_B).reshape(by_query)
        weight_sum_BTQ = weight_BTQ.cumsum(dim=1) + state[0][:, None]
        sum_BTH = (weight_BTQ[..., None] * units_BTQU).flatten(2).cumsum(dim=1) + state[1][:, None]
        pooled_BTQU = sum_BTH.reshape(by_query) / weight_sum_BTQ[..., None]
        return pooled_BTQU.flatten(2), (weight_sum_BTQ[:, -1], sum_BTH[:, -1])
