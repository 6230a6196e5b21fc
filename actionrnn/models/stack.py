"""Layers of recurrent cells: directions, dropout, layer norm and residual paths between them."""

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from actionrnn.models.cells import Cell, CellRun, CellState, GRUCell, LSTMCell, RNNCell
from actionrnn.models.config import HeadConfig
from actionrnn.models.inputs import FrameDropout
from actionrnn.models.lengths import flip_by_length, zero_padding
from actionrnn.models.minimal import MinGRUCell, MinLSTMCell
from actionrnn.models.place_cells import ConvGRUCell, SharedCell
from actionrnn.models.trace import CellTrace, unroll, zero_state

StackState = tuple[CellState, ...]
Encoded = tuple[Tensor, StackState | None]
Traces = list[CellTrace] | None


class Encoder(nn.Module, ABC):
    """What a head needs of all that stands between inputs and pooling.

    Attributes:
        output_size: units of what is pooled (of a token, where tokens are).
        macs_per_frame: multiply-adds of the matrix products for one frame.
    """

    output_size: int
    macs_per_frame: int

    @abstractmethod
    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """Values zero on padding, and the state at each clip's own end if one was given.

        Args:
            traces: give a list to run the cells' transparent form and have it filled, layer by
                layer, forward before backward; None runs the fast kernels.
        """

    def initial_state(self, batch_size: int, like: Tensor) -> StackState:
        """The state before the first frame; nothing where every frame stands for itself."""
        return ()


def build_cell(config: HeadConfig, input_size: int, num_cells: int = 1) -> nn.Module:
    """One layer, one direction, initialised as `models.init` says.

    Args:
        config: the settings.
        input_size: units that the cell reads, of one place.
        num_cells: places of a frame that are read side by side.
    """
    chrono = config.chrono_max_frames if config.init == "chrono" else None
    if config.head == "conv_gru":
        return ConvGRUCell(input_size, config.hidden_size, num_cells, chrono)
    if config.cell == "rnn":
        cell: nn.Module = RNNCell(input_size, config.hidden_size)
    else:
        classes = {"lstm": LSTMCell, "gru": GRUCell, "minlstm": MinLSTMCell, "mingru": MinGRUCell}
        cell = classes[config.cell](input_size, config.hidden_size, chrono)
    return cell if num_cells == 1 else SharedCell(cell, num_cells)


class RecurrentStack(Encoder):
    """Hidden states of the top layer, (B, T, H) or (B, T, 2H), zero on padding.

    Several places of a frame stand one after another in the last dimension, of inputs and of
    hidden states: (B, T, G * H) or (B, T, G * 2H). Layer l > 0 reads `dropout(norm(x))` where x is
    the output of the layer below, and adds x to its own output if `residual`. In the reverse
    direction each clip is flipped by its own length, so that reading starts at its own last frame.
    """

    def __init__(self, config: HeadConfig, input_size: int, num_cells: int = 1) -> None:
        super().__init__()
        self.num_cells = num_cells
        self.directions = ("forward", "backward") if config.bidirectional else ("forward",)
        self.output_size = config.hidden_size * len(self.directions)
        self.residual = config.residual
        sizes = [input_size] + [self.output_size] * (config.num_layers - 1)
        self.num_layers = config.num_layers
        self.forward_cells = nn.ModuleList(build_cell(config, size, num_cells) for size in sizes)
        self.backward_cells = nn.ModuleList(
            build_cell(config, size, num_cells) for size in (sizes if config.bidirectional else [])
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(size) if config.layer_norm else nn.Identity() for size in sizes[1:]
        )
        self.dropout = FrameDropout(config.dropout, config.variational)
        cells = [*self.forward_cells, *self.backward_cells]
        self.macs_per_frame = sum(cast(Cell, cell).macs_per_frame for cell in cells)

    def cell(self, layer: int, direction: str) -> Cell:
        """The cell at one place."""
        cells = self.forward_cells if direction == "forward" else self.backward_cells
        return cast(Cell, cells[layer])

    def initial_state(self, batch_size: int, like: Tensor) -> StackState:
        """Zeros for every layer (forward direction)."""
        return tuple(
            zero_state(self.cell(layer, "forward"), batch_size, like)
            for layer in range(self.num_layers)
        )

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """See `Encoder`."""
        ends: list[CellState] = []
        for layer in range(self.num_layers):
            below_BTH = inputs_BTD
            if layer > 0:
                normed = self.norms[layer - 1](self._places(below_BTH)).flatten(2)
                inputs_BTD = self.dropout(normed)
            start = None if state is None else state[layer]
            outputs = []
            for way in self.directions:
                hidden_BTH, end = self._read(layer, way, inputs_BTD, lengths_B, start, traces)
                outputs.append(self._places(hidden_BTH))
            if end is not None:
                ends.append(end)
            inputs_BTD = zero_padding(torch.cat(outputs, dim=3).flatten(2), lengths_B)
            if layer > 0 and self.residual:
                inputs_BTD = inputs_BTD + below_BTH
        return inputs_BTD, None if state is None else tuple(ends)

    def _places(self, values_BTD: Tensor) -> Tensor:
        """(B, T, G, units)."""
        by_place: Tensor = values_BTD.unflatten(2, (self.num_cells, -1))
        return by_place

    def _read(
        self,
        layer: int,
        direction: str,
        inputs_BTD: Tensor,
        lengths_B: Tensor,
        start: CellState | None,
        traces: Traces,
    ) -> CellRun:
        cell = self.cell(layer, direction)
        if direction == "backward":
            inputs_BTD = flip_by_length(inputs_BTD, lengths_B)
        if traces is None:
            hidden_BTH, end = cell(inputs_BTD, lengths_B, start)
        else:
            gates, states = unroll(cell, inputs_BTD)
            hidden_BTH, end = torch.stack([state[0] for state in states], dim=1), None
            traces.append(CellTrace(cell, layer, direction, gates, states, lengths_B))
        if direction == "backward":
            hidden_BTH = flip_by_length(hidden_BTH, lengths_B)
        return hidden_BTH, end
