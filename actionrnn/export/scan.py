"""Heads whose loops over frames have no fixed length: what exporters need and training does not.

The library's recurrent kernels, and `cummax`, are written into a graph for the one number of
frames they were traced with. Here every cell runs its transparent form in a scan, which ONNX,
OpenVINO and torch.export keep as a loop.
"""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan

from actionrnn.models.cells import Cell, CellState, step
from actionrnn.models.heads import Head
from actionrnn.models.lengths import hold_last
from actionrnn.models.pooling import MaxPooling, PoolState
from actionrnn.models.stack import RecurrentStack
from actionrnn.models.trace import zero_state


def with_scans(head: Head) -> Head:
    """A copy of a head, in eval mode, that can be exported with any number of frames."""
    copied = copy.deepcopy(head).eval().requires_grad_(False)
    for member in copied.members:
        if (stack := stack_of(member)) is not None:
            for cells in (stack.forward_cells, stack.backward_cells):
                for place, cell in enumerate(cells):
                    cells[place] = ScannedCell(cast(Cell, cell))
        if isinstance(member.pooling, MaxPooling):
            member.pooling = ScannedMaxPooling(member.pooling.output_size)
    return copied


def stack_of(head: Head) -> RecurrentStack | None:
    """The recurrent layers of a head, over places or not; None where it has none."""
    stack = getattr(head.encoder, "stack", head.encoder)
    return stack if isinstance(stack, RecurrentStack) else None


class ScannedCell(nn.Module):
    """A cell that reads whole clips by its own gates."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.hidden_size = cell.hidden_size
        self.state_names = cell.state_names

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: CellState | None
    ) -> tuple[Tensor, CellState | None]:
        """See `cells.Cell`; a state is for parts of one frame."""
        if state is not None:
            _, state = step(self.cell, inputs_BTD[:, 0], state)
            return state[0][:, None], state

        def read(state: CellState, inputs_BD: Tensor) -> tuple[CellState, Tensor]:
            _, new = step(self.cell, inputs_BD, state)
            return new, new[0].clone()  # a scan's outputs must not be its state

        start = zero_state(self.cell, inputs_BTD.shape[0], inputs_BTD)
        return _over_frames(read, start, inputs_BTD), None


class ScannedMaxPooling(MaxPooling):
    """The largest value so far, kept frame by frame."""

    def forward(
        self, hidden_BTH: Tensor, lengths_B: Tensor, state: PoolState
    ) -> tuple[Tensor, PoolState]:
        """See `Pooling`."""

        def larger(state: PoolState, hidden_BH: Tensor) -> tuple[PoolState, Tensor]:
            largest_BH = torch.maximum(state[0], hidden_BH)
            return (largest_BH,), largest_BH.clone()

        pooled_BTH = _over_frames(larger, state, hold_last(hidden_BTH, lengths_B))
        return pooled_BTH, (pooled_BTH[:, -1],)


def _over_frames(function: Any, start: tuple[Tensor, ...], values_BTD: Tensor) -> Tensor:
    """The outputs of `function(state, values of a frame)` for all frames, (B, T, H)."""
    _, outputs_TBH = scan(function, start, values_BTD.transpose(0, 1).contiguous())
    found: Tensor = outputs_TBH.transpose(0, 1)
    return found
