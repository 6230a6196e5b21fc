"""Heads over tokens: a frame as a set of places, never averaged before the head.

Features hold a frame's channels times the cells of a grid, cells fastest; `as_tokens` shows them
as (B, T, G, C). What a place means is learned by one embedding shared by all places. Later
layers keep places one after another in a single dimension (G slow, units fast).
"""

import math

import torch
from torch import Tensor, nn

from actionrnn.models.config import NUM_PROBE_HEADS, HeadConfig
from actionrnn.models.lengths import zero_padding
from actionrnn.models.pooling import AttentionPooling, Pooled, Pooling, PoolState
from actionrnn.models.precision import at_least_float32
from actionrnn.models.stack import Encoded, Encoder, RecurrentStack, StackState, Traces

# Frame numbers are shown to a head as sines and cosines of these periods, in frames: from what
# neighbours differ by to far more frames than clips are sampled with. Positions repeat after the
# longest.
NUM_PERIODS = 16
PERIODS = (4.0, 1024.0)


def as_tokens(features_BTD: Tensor, num_cells: int) -> Tensor:
    """Features of a grid as tokens (B, T, G, C), a view.

    Args:
        features_BTD: D is channels times cells, cells fastest.
        num_cells: G.
    """
    by_channel_BTCG: Tensor = features_BTD.unflatten(2, (-1, num_cells))
    return by_channel_BTCG.transpose(2, 3)


class TokenEmbedding(nn.Module):
    """One linear layer for all places, plus what is particular to each: (B, T, G, H)."""

    def __init__(self, input_size: int, hidden_size: int, num_cells: int) -> None:
        super().__init__()
        self.num_cells = num_cells
        self.embed = nn.Linear(input_size // num_cells, hidden_size)
        self.place_GH = nn.Parameter(0.02 * torch.randn(num_cells, hidden_size))
        self.macs_per_frame = input_size * hidden_size

    def forward(self, inputs_BTD: Tensor) -> Tensor:
        """Tokens of the inputs."""
        tokens_BTGH: Tensor = self.embed(as_tokens(inputs_BTD, self.num_cells))
        return tokens_BTGH + self.place_GH


class PlaceAttention(nn.Module):
    """Softmax-weighted mean over the places of each frame, (B, T, G, H) to (B, T, H).

    Scores are additive, `u . tanh(W h + b)` (Yang et al. 2016), one for each of
    `NUM_PROBE_HEADS` shares of the units.
    """

    def __init__(self, size: int, num_cells: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(size, size), nn.Tanh(), nn.Linear(size, NUM_PROBE_HEADS, bias=False)
        )
        self.macs_per_frame = num_cells * size * (size + NUM_PROBE_HEADS + 1)

    def weights(self, tokens_BTGH: Tensor) -> Tensor:
        """Weights (B, T, G, Q) that add up to 1 over the places of a frame."""
        return at_least_float32(self.score(tokens_BTGH)).softmax(dim=2)

    def forward(self, tokens_BTGH: Tensor) -> Tensor:
        """The mean of every frame."""
        weights_BTGQ = self.weights(tokens_BTGH)
        shares_BTGQU = tokens_BTGH.unflatten(3, (NUM_PROBE_HEADS, -1)).to(weights_BTGQ.dtype)
        return torch.einsum("btgq,btgqu->btqu", weights_BTGQ, shares_BTGQU).flatten(2)


class AttendThenRecur(Encoder):
    """Attention over the places of each frame, then recurrence over frames."""

    def __init__(self, config: HeadConfig, input_size: int, num_cells: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(input_size, config.hidden_size, num_cells)
        self.attention = PlaceAttention(config.hidden_size, num_cells)
        self.stack = RecurrentStack(config, config.hidden_size)
        self.output_size = self.stack.output_size
        parts = (self.embedding, self.attention, self.stack)
        self.macs_per_frame = sum(part.macs_per_frame for part in parts)

    def initial_state(self, batch_size: int, like: Tensor) -> StackState:
        """Of the recurrent layers."""
        return self.stack.initial_state(batch_size, like)

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """See `Encoder`."""
        frames_BTH = self.attention(self.embedding(inputs_BTD))
        encoded: Encoded = self.stack(frames_BTH, lengths_B, state, traces)
        return encoded


class RecurThenAttend(Encoder):
    """Recurrence over frames at every place, then attention over places.

    With `conv_gru` a place hears its neighbours; else it does not, and all share one cell.
    """

    def __init__(self, config: HeadConfig, input_size: int, num_cells: int) -> None:
        super().__init__()
        self.num_cells = num_cells
        self.embedding = TokenEmbedding(input_size, config.hidden_size, num_cells)
        self.stack = RecurrentStack(config, config.hidden_size, num_cells)
        self.output_size = self.stack.output_size
        self.attention = PlaceAttention(self.output_size, num_cells)
        parts = (self.embedding, self.stack, self.attention)
        self.macs_per_frame = sum(part.macs_per_frame for part in parts)

    def initial_state(self, batch_size: int, like: Tensor) -> StackState:
        """Of the recurrent layers, all places of a clip together."""
        return self.stack.initial_state(batch_size, like)

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """See `Encoder`."""
        tokens_BTGH = self.embedding(inputs_BTD)
        hidden_BTD, end = self.stack(tokens_BTGH.flatten(2), lengths_B, state, traces)
        hidden_BTGH = hidden_BTD.unflatten(2, (self.num_cells, -1))
        return self.attention(hidden_BTGH), end


class TokenFrames(Encoder):
    """All tokens of all frames, to be probed, (B, T, G * H).

    Frame positions are a learned map of sines and cosines of the frame's number, counted from
    the clip's start: known for any length, and the same whether a clip is read whole or frame by
    frame. State: frames seen.
    """

    periods: Tensor

    def __init__(self, config: HeadConfig, input_size: int, num_cells: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(input_size, config.hidden_size, num_cells)
        self.output_size = config.hidden_size
        self.macs_per_frame = self.embedding.macs_per_frame
        self.position: nn.Linear | None = None
        if config.head == "token_probe_ordered":
            self.position = nn.Linear(2 * NUM_PERIODS, config.hidden_size, bias=False)
            self.macs_per_frame += 2 * NUM_PERIODS * config.hidden_size
        shortest, longest = (math.log(period) for period in PERIODS)
        periods = torch.linspace(shortest, longest, NUM_PERIODS).exp()
        self.register_buffer("periods", periods, persistent=False)

    def initial_state(self, batch_size: int, like: Tensor) -> StackState:
        """No frame yet."""
        return ((torch.zeros(batch_size, dtype=torch.int64, device=like.device),),)

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """See `Encoder`."""
        tokens_BTGH = self.embedding(inputs_BTD)
        seen_B = torch.zeros_like(lengths_B) if state is None else state[0][0]
        if self.position is not None:
            number_BT = seen_B[:, None] + torch.arange(
                inputs_BTD.shape[1], device=inputs_BTD.device
            )
            angle_BTP = 2 * torch.pi * number_BT[:, :, None] / self.periods
            waves_BTP = torch.cat([angle_BTP.sin(), angle_BTP.cos()], dim=2).to(inputs_BTD.dtype)
            tokens_BTGH = tokens_BTGH + self.position(waves_BTP)[:, :, None]
        hidden_BTD = zero_padding(tokens_BTGH.flatten(2), lengths_B)
        return hidden_BTD, None if state is None else ((seen_B + lengths_B,),)


class TokenPooling(Pooling):
    """Attention over all tokens of the frames seen so far, (B, T, G * H) to (B, T, H).

    Each of `NUM_PROBE_HEADS` learned queries weighs its own share of the units, as in
    `AttentionPooling`.

    Args:
        size: H.
        num_cells: G.
        has_global_token: one token beside those of the frames, learned, the same for every clip.
    """

    def __init__(self, size: int, num_cells: int, has_global_token: bool) -> None:
        super().__init__(size)
        self.num_cells = num_cells
        self.attention = AttentionPooling(size, NUM_PROBE_HEADS, "linear")
        self.macs_per_frame = num_cells * self.attention.macs_per_frame
        self.token_score_Q: nn.Parameter | None = None
        if has_global_token:
            self.token_score_Q = nn.Parameter(torch.zeros(NUM_PROBE_HEADS))
            self.token_H = nn.Parameter(0.02 * torch.randn(size))

    def initial_state(self, batch_size: int, like: Tensor) -> PoolState:
        """No frame yet, but the global token if there is one."""
        if self.token_score_Q is None:
            return self.attention.initial_state(batch_size, like)
        weight_Q = self.attention.weight_of(self.token_score_Q)
        sum_QU = weight_Q[:, None] * self.token_H.unflatten(0, (NUM_PROBE_HEADS, -1))
        return weight_Q.expand(batch_size, -1), sum_QU.flatten().expand(batch_size, -1)

    def forward(self, hidden_BTD: Tensor, lengths_B: Tensor, state: PoolState) -> Pooled:
        """See `Pooling`: frames are read token by token, and answered for at their last one."""
        tokens_BNH = hidden_BTD.unflatten(2, (self.num_cells, -1)).flatten(1, 2)
        pooled_BNH, end = self.attention(tokens_BNH, lengths_B * self.num_cells, state)
        return pooled_BNH[:, self.num_cells - 1 :: self.num_cells], end
