"""The transparent form of a cell: every gate and state, frame by frame."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actionrnn.errors import near_miss
from actionrnn.models.cells import Cell, CellState, Gates, step
from actionrnn.models.lengths import flip_by_length, zero_padding


class CellTrace(NamedTuple):
    """Everything one cell did, frame by frame.

    Lists run in the order of reading: for `backward`, item 0 is each clip's own last frame.
    Their tensors are the very ones later frames were computed from, so that gradients with
    respect to them are total derivatives. `gate` and `state` give them in the order of frames.

    Attributes:
        cell: whose run it was; names its gates and states.
        layer: 0 is the nearest to the features.
        direction: `forward` or `backward`.
        gates: for every frame, each gate by name (B, H).
        states: for every frame, the cell's state in the order of `cell.state_names`, each (B, H).
    """

    cell: Cell
    layer: int
    direction: str
    gates: list[Gates]
    states: list[CellState]
    lengths_B: Tensor

    def gate(self, name: str) -> Tensor:
        """A gate by name, (B, T, H), zero on padding.

        Raises:
            ValueError: if this cell has no such gate.
        """
        self._check(name, tuple(self.cell.gate_ranges))
        return self.by_frame([gates[name] for gates in self.gates])

    def state(self, name: str) -> Tensor:
        """A state by name, `hidden` or for LSTM also `cell`, (B, T, H), zero on padding.

        Raises:
            ValueError: if this cell has no such state.
        """
        self._check(name, self.cell.state_names)
        index = self.cell.state_names.index(name)
        return self.by_frame([state[index] for state in self.states])

    def by_frame(self, values: list[Tensor]) -> Tensor:
        """Stack values (B, H) from the order of reading to (B, T, H) in the order of frames."""
        values_BTH = torch.stack(values, dim=1)
        if self.direction == "backward":
            values_BTH = flip_by_length(values_BTH, self.lengths_B)
        return zero_padding(values_BTH, self.lengths_B)

    def _check(self, name: str, known: tuple[str, ...]) -> None:
        if name not in known:
            kind = type(self.cell).__name__
            hint = near_miss(name, list(known))
            raise ValueError(f"{kind} has no {name!r}; it has {', '.join(known)}{hint}")


def layer_names(cells: Sequence[CellTrace]) -> list[str]:
    """What people call each layer and direction: `layer 2 backward`, counted from 1.

    Where there is one layer, or one direction, it is not said; of a single cell nothing is.
    """
    many = len({each.layer for each in cells}) > 1
    both = len({each.direction for each in cells}) > 1
    return [
        " ".join([*([f"layer {each.layer + 1}"] * many), *([each.direction] * both)])
        for each in cells
    ]


def zero_state(cell: Cell, batch_size: int, like: Tensor) -> CellState:
    """The state before the first frame."""
    return tuple(like.new_zeros(batch_size, cell.hidden_size) for _ in cell.state_names)


def unroll(cell: Cell, inputs_BTD: Tensor) -> tuple[list[Gates], list[CellState]]:
    """Run a cell's transparent form over all frames from a zero state."""
    state = zero_state(cell, len(inputs_BTD), inputs_BTD)
    all_gates, states = [], []
    for inputs_BD in inputs_BTD.unbind(dim=1):
        gates, state = step(cell, inputs_BD, state)
        all_gates.append(gates)
        states.append(state)
    return all_gates, states
