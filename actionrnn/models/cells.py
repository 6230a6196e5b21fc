"""One layer read in one direction: RNN, LSTM and GRU on the library's kernels.

Every cell offers two forms of the same equations:

- `forward(inputs_BTD, lengths_B, state)` is fast (oneDNN on CPU, cuDNN on GPU, both unpacked:
  padding stands at the end, so it cannot reach an earlier frame);
- `step(cell, inputs_BD, state)` is transparent: one frame, written out, every gate by name.

A state is a plain tuple of tensors (B, H) in the order of `state_names`.
"""

import math
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from actionrnn.models.init import init_input_weights, init_recurrent_weights, keep_bias
from actionrnn.models.lengths import at_frame

CellState = tuple[Tensor, ...]
CellRun = tuple[Tensor, CellState | None]
Gates = dict[str, Tensor]
Ranges = dict[str, tuple[float, float]]

SIGMOID = (0.0, 1.0)
TANH = (-1.0, 1.0)
POSITIVE = (0.0, math.inf)


class Cell(Protocol):
    """What a layer needs of a cell.

    Attributes:
        gate_ranges: open range of each gate by name, the candidate last.
        hidden_size: units of a state.
        state_names: `("hidden",)` or `("hidden", "cell")`.
        macs_per_frame: multiply-adds of the matrix products for one frame.
    """

    state_names: tuple[str, ...]
    hidden_size: int
    macs_per_frame: int

    @property
    def gate_ranges(self) -> Ranges:
        """Of the class, or of the cell."""

    def __call__(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """Hidden states (B, T, H), and the state at each clip's own end if one was given."""

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """The gates of one frame by name, each (B, H)."""

    def update(self, gates: Gates, state: CellState) -> CellState:
        """The state after a frame; unit by unit, as all that mixes them is in the gates."""


def step(cell: Cell, inputs_BD: Tensor, state: CellState) -> tuple[Gates, CellState]:
    """One frame in the transparent form: its gates, and the new state."""
    gates = cell.gates_of(inputs_BD, state)
    return gates, cell.update(gates, state)


class KernelCell(nn.Module):
    """What the cells on the library's kernels share. Weights start by the table of `models.init`.

    Args:
        kernel: one layer in one direction, batch first.
        num_gates: gates that are stacked in its weights.
    """

    def __init__(self, kernel: nn.RNNBase, num_gates: int) -> None:
        super().__init__()
        self.hidden_size = kernel.hidden_size
        self.kernel = kernel
        self.macs_per_frame = (
            num_gates * kernel.hidden_size * (kernel.input_size + kernel.hidden_size)
        )
        input_weight, state_weight, input_bias, state_bias = kernel.parameters()
        init_input_weights(input_weight, num_gates)
        init_recurrent_weights(state_weight, num_gates)
        nn.init.zeros_(input_bias)
        nn.init.zeros_(state_bias)

    def forward(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """See `Cell`. Right where the whole state is the output."""
        if state is None:
            return self.kernel(inputs_BTD)[0], None
        hidden_BTH = self.kernel(inputs_BTD, state[0][None].contiguous())[0]
        return hidden_BTH, (at_frame(hidden_BTH, lengths_B - 1),)

    def _projections(self, inputs_BD: Tensor, hidden_BH: Tensor) -> tuple[Tensor, Tensor]:
        """The input's and the state's share of all gates before their non-linearity, (B, GH)."""
        input_weight, state_weight, input_bias, state_bias = self.kernel.parameters()
        return (
            nn.functional.linear(inputs_BD, input_weight, input_bias),
            nn.functional.linear(hidden_BH, state_weight, state_bias),
        )

    def _input_biases(self, num_gates: int) -> tuple[Tensor, ...]:
        """The input's bias of every gate (H,), to be set in place."""
        return cast(Tensor, self.kernel.bias_ih_l0).detach().chunk(num_gates)


class RNNCell(KernelCell):
    """`h = tanh(W x + b + U h + c)` (Elman 1990)."""

    gate_ranges: ClassVar[Ranges] = {"new": TANH}
    state_names = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(nn.RNN(input_size, hidden_size, batch_first=True), num_gates=1)

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `Cell`."""
        from_input_BH, from_state_BH = self._projections(inputs_BD, state[0])
        return {"new": torch.tanh(from_input_BH + from_state_BH)}

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `Cell`."""
        return (gates["new"],)


class LSTMCell(KernelCell):
    """`c = f * c + i * g`, `h = o * tanh(c)` (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    Gates as the literature names them: input i, forget f, output o (sigmoid), cell g (tanh).
    PyTorch stacks them in the order i, f, g, o.
    """

    gate_ranges: ClassVar[Ranges] = {
        "input": SIGMOID,
        "forget": SIGMOID,
        "output": SIGMOID,
        "cell": TANH,
    }
    state_names = ("hidden", "cell")

    def __init__(self, input_size: int, hidden_size: int, chrono_max_frames: int | None) -> None:
        super().__init__(nn.LSTM(input_size, hidden_size, batch_first=True), num_gates=4)
        input_bias_H, forget_bias_H, _, _ = self._input_biases(4)
        forget_bias_H.copy_(keep_bias(hidden_size, chrono_max_frames))
        if chrono_max_frames is not None:
            input_bias_H.copy_(-forget_bias_H)

    def forward(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """See `Cell`."""
        if state is None:
            return self.kernel(inputs_BTD)[0], None
        num_frames = inputs_BTD.shape[1]
        if num_frames == 1:
            # On a CPU the kernel sorts its weights anew in every call: with it a head's step took
            # 3.7 ms of a core, without it 1.2 (1280 inputs, 256 units).
            after = self.update(self.gates_of(inputs_BTD[:, 0], state), state)
            return after[0][:, None], after
        # Only packing gives the memory c at each clip's own end; the price is the slow kernel.
        packed = pack_padded_sequence(
            inputs_BTD, lengths_B.cpu(), batch_first=True, enforce_sorted=False
        )
        start = (state[0][None], state[1][None])
        packed_hidden, (hidden_1BH, cell_1BH) = self.kernel(packed, start)
        hidden_BTH, _ = pad_packed_sequence(packed_hidden, True, total_length=num_frames)
        return hidden_BTH, (hidden_1BH[0], cell_1BH[0])

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `Cell`."""
        from_input, from_state = self._projections(inputs_BD, state[0])
        i, f, g, o = (from_input + from_state).chunk(4, dim=-1)
        return {
            "input": torch.sigmoid(i),
            "forget": torch.sigmoid(f),
            "output": torch.sigmoid(o),
            "cell": torch.tanh(g),
        }

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `Cell`."""
        cell_BH = gates["forget"] * state[1] + gates["input"] * gates["cell"]
        return gates["output"] * torch.tanh(cell_BH), cell_BH


class GRUCell(KernelCell):
    """`h = z * h + (1 - z) * n` (Cho et al. 2014), PyTorch's form: the update gate z *keeps*.

    Gates: reset r, update z (sigmoid), new n = tanh(W x + b + r * (U h + c)). PyTorch stacks
    them in the order r, z, n.
    """

    gate_ranges: ClassVar[Ranges] = {"reset": SIGMOID, "update": SIGMOID, "new": TANH}
    state_names = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int, chrono_max_frames: int | None) -> None:
        super().__init__(nn.GRU(input_size, hidden_size, batch_first=True), num_gates=3)
        _, update_bias_H, _ = self._input_biases(3)
        update_bias_H.copy_(keep_bias(hidden_size, chrono_max_frames))

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `Cell`."""
        return gru_gates(*self._projections(inputs_BD, state[0]))

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `Cell`."""
        return (gates["update"] * state[0] + (1 - gates["update"]) * gates["new"],)


def gru_gates(from_input: Tensor, from_state: Tensor) -> Gates:
    """The gates of a GRU, from the input's and the state's share of each, stacked along axis 1."""
    input_r, input_z, input_n = from_input.chunk(3, dim=1)
    state_r, state_z, state_n = from_state.chunk(3, dim=1)
    reset, update = torch.sigmoid(input_r + state_r), torch.sigmoid(input_z + state_z)
    return {"reset": reset, "update": update, "new": torch.tanh(input_n + reset * state_n)}
