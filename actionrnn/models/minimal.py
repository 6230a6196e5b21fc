"""minLSTM and minGRU (Feng et al. 2024, arXiv 2410.01201): gates see the input alone.

Then `h_t = a_t * h_{t-1} + b_t` is linear in h, with a_t and b_t known for all frames at once,
and a parallel scan gives every h_t without a loop over frames. As in the paper's appendix B the
scan runs in log space, for which the candidate is kept positive by `g`, and so is every h_t.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from actionrnn.models.cells import POSITIVE, SIGMOID, CellState, Gates, Ranges
from actionrnn.models.init import init_input_weights, keep_bias
from actionrnn.models.lengths import at_frame
from actionrnn.models.precision import at_least_float32

# Differences of running sums of log a lose digits as the sums grow. Measured in float32 over 1024
# frames of nearly closed gates (log a = -20 on average): worst relative error 1.7e-4 in chunks of
# 64 frames, 2.7e-3 in one piece; with log a = -0.7: 6e-6 and 1e-4.
CHUNK_FRAMES = 64


def scan(log_a_BTH: Tensor, log_b_BTH: Tensor, start_BH: Tensor) -> Tensor:
    """All `h_t = a_t h_{t-1} + b_t` from h_{-1} = start >= 0, by prefix sums in log space.

    Args:
        log_a_BTH: log of the kept share, <= 0.
        log_b_BTH: log of what is added.
        start_BH: the state before the first frame; zeros are allowed.
    """
    chunks = []
    for log_a, log_b in zip(
        torch.split(log_a_BTH, CHUNK_FRAMES, 1),
        torch.split(log_b_BTH, CHUNK_FRAMES, 1),
        strict=True,
    ):
        log_kept = log_a.cumsum(dim=1)
        log_added = log_kept + (log_b - log_kept).logcumsumexp(dim=1)
        chunks.append(log_kept.exp() * start_BH[:, None] + log_added.exp())
        start_BH = chunks[-1][:, -1]
    return torch.cat(chunks, dim=1)


def positive(x: Tensor) -> Tensor:
    """The paper's g: `x + 0.5` for x >= 0, `sigmoid(x)` below; continuous, > 0."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def log_positive(x: Tensor) -> Tensor:
    """Log of `positive`, without underflow."""
    return torch.where(x >= 0, (x.relu() + 0.5).log(), logsigmoid(x))


class MinLSTMCell(nn.Module):
    """`h = f' h + i' g(W_h x)` with `f' = f / (f + i)`, `i' = i / (f + i)`; no output gate.

    The gates shown are the normalised ones, `forget + input = 1`; `cell` is the candidate.
    """

    gate_ranges: ClassVar[Ranges] = {"input": SIGMOID, "forget": SIGMOID, "cell": POSITIVE}
    state_names = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int, chrono_max_frames: int | None) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = _gate_layer(input_size, hidden_size, num_gates=3)
        self.macs_per_frame = 3 * hidden_size * input_size
        input_bias_H, forget_bias_H, _ = self.gates.bias.detach().chunk(3)
        forget_bias_H.copy_(keep_bias(hidden_size, chrono_max_frames))
        input_bias_H.copy_(-forget_bias_H)

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None
    ) -> tuple[Tensor, CellState | None]:
        """See `cells.Cell`."""
        i, f, g = at_least_float32(self.gates(inputs_BTD)).chunk(3, dim=-1)
        log_ratio = logsigmoid(i) - logsigmoid(f)
        return _run_scan(logsigmoid(-log_ratio), logsigmoid(log_ratio), g, lengths_B, state)

    def step(self, inputs_BD: Tensor, state: CellState) -> tuple[Gates, CellState]:
        """See `cells.Cell`."""
        i, f, g = self.gates(inputs_BD).chunk(3, dim=-1)
        log_ratio = logsigmoid(i) - logsigmoid(f)
        gates = {
            "input": torch.sigmoid(log_ratio),
            "forget": torch.sigmoid(-log_ratio),
            "cell": positive(g),
        }
        return gates, (gates["forget"] * state[0] + gates["input"] * gates["cell"],)


class MinGRUCell(nn.Module):
    """`h = (1 - z) h + z g(W_h x)`: the update gate z *replaces*, the opposite of `GRUCell`'s."""

    gate_ranges: ClassVar[Ranges] = {"update": SIGMOID, "new": POSITIVE}
    state_names = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int, chrono_max_frames: int | None) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = _gate_layer(input_size, hidden_size, num_gates=2)
        self.macs_per_frame = 2 * hidden_size * input_size
        update_bias_H, _ = self.gates.bias.detach().chunk(2)
        update_bias_H.copy_(-keep_bias(hidden_size, chrono_max_frames))

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None
    ) -> tuple[Tensor, CellState | None]:
        """See `cells.Cell`."""
        z, n = at_least_float32(self.gates(inputs_BTD)).chunk(2, dim=-1)
        return _run_scan(logsigmoid(-z), logsigmoid(z), n, lengths_B, state)

    def step(self, inputs_BD: Tensor, state: CellState) -> tuple[Gates, CellState]:
        """See `cells.Cell`."""
        z, n = self.gates(inputs_BD).chunk(2, dim=-1)
        gates = {"update": torch.sigmoid(z), "new": positive(n)}
        return gates, ((1 - gates["update"]) * state[0] + gates["update"] * gates["new"],)


def _gate_layer(input_size: int, hidden_size: int, num_gates: int) -> nn.Linear:
    layer = nn.Linear(input_size, num_gates * hidden_size)
    init_input_weights(layer.weight, num_gates)
    nn.init.zeros_(layer.bias)
    return layer


def _run_scan(
    log_keep_BTH: Tensor,
    log_add_BTH: Tensor,
    candidate_BTH: Tensor,
    lengths_B: Tensor,
    state: CellState | None,
) -> tuple[Tensor, CellState | None]:
    start_BH = torch.zeros_like(candidate_BTH[:, 0]) if state is None else state[0]
    hidden_BTH = scan(log_keep_BTH, log_add_BTH + log_positive(candidate_BTH), start_BH)
    return hidden_BTH, None if state is None else (at_frame(hidden_BTH, lengths_B - 1),)
