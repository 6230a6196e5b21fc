"""Cells over the places of a frame: one cell shared by all places, and the ConvGRU.

Inputs, states and gates hold all places of a frame in one dimension, place by place (G slow,
units fast), so that layers, directions, traces and states are those of any other cell.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from actionrnn.models.cells import Cell, CellRun, CellState, Gates, GRUCell, gru_gates
from actionrnn.models.init import init_input_weights, init_recurrent_weights, keep_bias
from actionrnn.models.lengths import at_frame

KERNEL_SIZE = 3


class SharedCell(nn.Module):
    """One cell with the same weights at every place; places know nothing of each other.

    Args:
        cell: a `Cell` of one place.
        num_cells: places, G.
    """

    def __init__(self, cell: nn.Module, num_cells: int) -> None:
        super().__init__()
        self.cell = cell
        self.num_cells = num_cells
        one = cast(Cell, cell)
        self.gate_ranges = one.gate_ranges
        self.state_names = one.state_names
        self.hidden_size = num_cells * one.hidden_size
        self.macs_per_frame = num_cells * one.macs_per_frame

    def forward(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """See `cells.Cell`: every place of every clip is read as a clip of its own."""
        by_place_BTGC = inputs_BTD.unflatten(2, (self.num_cells, -1))
        rows_RTC = by_place_BTGC.transpose(1, 2).flatten(0, 1)
        lengths_R = lengths_B.repeat_interleave(self.num_cells)
        start = None if state is None else self._rows(state)
        hidden_RTH, end = self.cell(rows_RTC, lengths_R, start)
        by_place_BGTH = hidden_RTH.unflatten(0, (-1, self.num_cells))
        hidden_BTD = by_place_BGTH.transpose(1, 2).flatten(2)
        return hidden_BTD, None if end is None else self._joined(end)

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `cells.Cell`."""
        (inputs_RC,) = self._rows((inputs_BD,))
        gates = cast(Cell, self.cell).gates_of(inputs_RC, self._rows(state))
        return dict(zip(gates, self._joined(tuple(gates.values())), strict=True))

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `cells.Cell`."""
        return cast(Cell, self.cell).update(gates, state)

    def _rows(self, values: CellState) -> CellState:
        return tuple(each_BD.unflatten(1, (self.num_cells, -1)).flatten(0, 1) for each_BD in values)

    def _joined(self, values: CellState) -> CellState:
        return tuple(each_RH.unflatten(0, (-1, self.num_cells)).flatten(1) for each_RH in values)


class ConvGRUCell(nn.Module):
    """`h = z * h + (1 - z) * n` on a square grid; every product is a 3x3 convolution.

    After Ballas et al. 2016 (arXiv 1511.06432), with the gates and the candidate of
    `cells.GRUCell`: n = tanh(W x + b + r * (U h + c)). Beyond the edge there are zeros.

    Args:
        input_size: units of a place.
        hidden_size: units of a place.
        num_cells: places, a square.
        chrono_max_frames: see `models.init`.

    Raises:
        ValueError: if the places are no square.
    """

    gate_ranges = GRUCell.gate_ranges
    state_names = GRUCell.state_names

    def __init__(
        self, input_size: int, hidden_size: int, num_cells: int, chrono_max_frames: int | None
    ) -> None:
        super().__init__()
        self.side = math.isqrt(num_cells)
        if self.side**2 != num_cells:
            raise ValueError(
                f"a ConvGRU needs a square of places; {num_cells} is none "
                f"(--features.backbone.layer tokens has no class token beside them)"
            )
        self.hidden_size = num_cells * hidden_size
        self.from_input = _conv(input_size, 3 * hidden_size)
        self.from_state = _conv(hidden_size, 3 * hidden_size)
        size = KERNEL_SIZE**2 * (input_size + hidden_size)
        self.macs_per_frame = num_cells * 3 * hidden_size * size
        self._init(hidden_size, chrono_max_frames)

    def _init(self, hidden_size: int, chrono_max_frames: int | None) -> None:
        """By the table of `models.init`; the state's kernels are orthogonal in their centre.

        All else of them is zero, so that a state keeps its size through time (Xiao et al. 2018,
        arXiv 1806.05393, delta-orthogonal).
        """
        for conv in (self.from_input, self.from_state):
            nn.init.zeros_(cast(Tensor, conv.bias))
        init_input_weights(self.from_input.weight, 3)
        nn.init.zeros_(self.from_state.weight)
        centre = self.from_state.weight.detach()[:, :, KERNEL_SIZE // 2, KERNEL_SIZE // 2]
        weight_GxH_H = torch.empty_like(centre)
        init_recurrent_weights(weight_GxH_H, 3)
        centre.copy_(weight_GxH_H)
        _, update_bias_H, _ = cast(Tensor, self.from_input.bias).detach().chunk(3)
        update_bias_H.copy_(keep_bias(hidden_size, chrono_max_frames))

    def forward(self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None) -> CellRun:
        """See `cells.Cell`."""
        num_frames = inputs_BTD.shape[1]
        from_input = self.from_input(self._maps(inputs_BTD.flatten(0, 1)))
        from_input_BTCss = from_input.unflatten(0, (-1, num_frames))
        if state is None:
            hidden_BD = inputs_BTD.new_zeros(inputs_BTD.shape[0], self.hidden_size)
        else:
            (hidden_BD,) = state
        hidden_BHss, outputs = self._maps(hidden_BD), []
        for from_input_BCss in from_input_BTCss.unbind(dim=1):
            (hidden_BHss,) = self.update(self._gates(from_input_BCss, hidden_BHss), (hidden_BHss,))
            outputs.append(_flat(hidden_BHss))
        hidden_BTD = torch.stack(outputs, dim=1)
        return hidden_BTD, None if state is None else (at_frame(hidden_BTD, lengths_B - 1),)

    def gates_of(self, inputs_BD: Tensor, state: CellState) -> Gates:
        """See `cells.Cell`."""
        gates = self._gates(self.from_input(self._maps(inputs_BD)), self._maps(state[0]))
        return {name: _flat(gate) for name, gate in gates.items()}

    def update(self, gates: Gates, state: CellState) -> CellState:
        """See `cells.Cell`."""
        return (gates["update"] * state[0] + (1 - gates["update"]) * gates["new"],)

    def _gates(self, from_input_BCss: Tensor, hidden_BHss: Tensor) -> Gates:
        return gru_gates(from_input_BCss, self.from_state(hidden_BHss))

    def _maps(self, values_BD: Tensor) -> Tensor:
        """Places one after another become maps (B, units, side, side), without a copy."""
        by_place: Tensor = values_BD.unflatten(1, (self.side, self.side, -1))
        return by_place.permute(0, 3, 1, 2)


def _conv(input_size: int, output_size: int) -> nn.Conv2d:
    return nn.Conv2d(input_size, output_size, KERNEL_SIZE, padding=KERNEL_SIZE // 2)


def _flat(maps_BCss: Tensor) -> Tensor:
    return maps_BCss.permute(0, 2, 3, 1).flatten(1)
