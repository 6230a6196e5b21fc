"""minLSTM and minGRU (Feng et al. 2024, arXiv 2410.01201): gates see the input alone.

Then `h_t = a_t h_{t-1} + b_t` is linear in h, with every a_t and b_t known beforehand. On an
accelerator a parallel scan gives all h_t without a loop over frames; as in the paper's appendix
B it runs in log space, for which `positive` keeps the candidate, and so h, above zero. On a CPU
there is little to run in parallel and logs are dear: there the recurrence runs as it stands
(except in a graph that is compiled or exported, which the scan keeps free of loops).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from actionrnn.models.cells import POSITIVE, SIGMOID, CellRun, CellState, Gates, Ranges
from actionrnn.models.init import init_input_weights, keep_bias
from actionrnn.models.lengths import at_frame
from actionrnn.models.precision import at_least_float32
from actionrnn.models.scan import recurrence, scan_in_log_space


def positive(x: Tensor) -> Tensor:
    """The paper's g: `x + 0.5` for x >= 0, `sigmoid(x)` below; continuous, > 0."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def log_positive(x: Tensor) -> Tensor:
    """Log of `positive`, without underflow."""
    return torch.where(x >= 0, (x.relu() + 0.5).log(), logsigmoid(x))


class MinimalCell(nn.Module):
    """What both share: one linear layer makes all gates, stacked, of the input alone."""

    state_names = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int, num_gates: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = nn.Linear(input_size, num_gates * hidden_size)
        init_input_weights(self.gates.weight, num_gates)
        nn.init.zeros_(self.gates.bias)
        self.macs_per_frame = num_gates * hidden_size * input_size


class MinLSTMCell(MinimalCell):
    """`h = f' h + i' g(W_h x)` with `f' = f / (f + i)`, `i' = i / (f + i)`; no output gate.

    The gates shown are the normalised ones, `forget + input = 1`; `cell` is the candidate.
    """

    gate_ranges: ClassVar[Ranges] = {"input": SIGMOID, "forget": SIGMOID, "cell": POSITIVE}

    def __init__(self, input_size: int, hidden_size: int, chrono_max_frames: int | None) -> None:
        super().__init__(input_size, hidden_size, num_gates=3)
        input_bias_H, forget_bias_H, _ = self.gates.bias.detach().chunk(3)
        forget_bias_H.copy_(keep_bias(hidden_size, chrono_max_frames))
        input_bias_H.copy_(-forget_bias_H)

    def forward(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """See `cells.Cell`."""
        i, f, g = at_least_float32(self.gates(inputs_BTD)).chunk(3, dim=-1)
        return _run(logsigmoid(f) - logsigmoid(i), g, lengths_B, state)

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `cells.Cell`."""
        i, f, g = self.gates(inputs_BD).chunk(3, dim=-1)
        keep_logit_BH = logsigmoid(f) - logsigmoid(i)  # of f / (f + i)
        return {
            "input": torch.sigmoid(-keep_logit_BH),
            "forget": torch.sigmoid(keep_logit_BH),
            "cell": positive(g),
        }

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `cells.Cell`."""
        return (gates["forget"] * state[0] + gates["input"] * gates["cell"],)


class MinGRUCell(MinimalCell):
    """`h = (1 - z) h + z g(W_h x)`: the update gate z *replaces*, the opposite of `GRUCell`'s."""

    gate_ranges: ClassVar[Ranges] = {"update": SIGMOID, "new": POSITIVE}

    def __init__(self, input_size: int, hidden_size: int, chrono_max_frames: int | None) -> None:
        super().__init__(input_size, hidden_size, num_gates=2)
        update_bias_H, _ = self.gates.bias.detach().chunk(2)
        update_bias_H.copy_(-keep_bias(hidden_size, chrono_max_frames))

    def forward(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """See `cells.Cell`."""
        z, n = at_least_float32(self.gates(inputs_BTD)).chunk(2, dim=-1)
        return _run(-z, n, lengths_B, state)

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `cells.Cell`."""
        z, n = self.gates(inputs_BD).chunk(2, dim=-1)
        return {"update": torch.sigmoid(z), "new": positive(n)}

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `cells.Cell`."""
        return ((1 - gates["update"]) * state[0] + gates["update"] * gates["new"],)


def _run(
    keep_logit_BTH: Tensor, candidate_BTH: Tensor, lengths_B: Tensor, state: CellState | None
) -> CellRun:
    """All `h = sigmoid(k) h + sigmoid(-k) positive(candidate)`."""
    start_BH = torch.zeros_like(candidate_BTH[:, 0]) if state is None else state[0]
    if keep_logit_BTH.device.type == "cpu" and not torch.compiler.is_compiling():
        added_BTH = torch.sigmoid(-keep_logit_BTH) * positive(candidate_BTH)
        hidden_BTH = recurrence(torch.sigmoid(keep_logit_BTH), added_BTH, start_BH)
    else:
        log_added_BTH = logsigmoid(-keep_logit_BTH) + log_positive(candidate_BTH)
        hidden_BTH = scan_in_log_space(logsigmoid(keep_logit_BTH), log_added_BTH, start_BH)
    return hidden_BTH, None if state is None else (at_frame(hidden_BTH, lengths_B - 1),)
