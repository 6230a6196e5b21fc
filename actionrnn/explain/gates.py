"""What the gates of a recurrent head did over a clip."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.models.gradients import gate_saturation
from actionrnn.models.heads import Head
from actionrnn.models.trace import layer_names


@dataclass(frozen=True)
class GateMap:
    """One gate of one layer and direction over a clip.

    Attributes:
        layer: 0 is the nearest to the features.
        direction: `forward` or `backward`.
        layer_name: both for people; empty if it is the only one.
        gate: its name: `input`, `forget`, `output` (LSTM), `update`, `reset` (GRU), ...
        values_TH: in the order of the frames.
        low, high: the gate's range.
        saturated_low, saturated_high: share of values in the outer tenth of the range; None for
            a gate without bounds.
    """

    layer: int
    direction: str
    layer_name: str
    gate: str
    values_TH: NDArray[np.float32]
    low: float
    high: float
    saturated_low: float | None
    saturated_high: float | None

    @property
    def title(self) -> str:
        """Gate, layer and how saturated it is, in words."""
        kind = "gate" if (self.low, self.high) == (0, 1) else "candidate"
        where = f"{self.gate} {kind}" + (f", {self.layer_name}" if self.layer_name else "")
        if self.saturated_low is None or self.saturated_high is None:
            return where
        low, high = f"{self.saturated_low:.0%}", f"{self.saturated_high:.0%}"
        return f"{where}: {low} near {self.low:g}, {high} near {self.high:g}"


def gate_maps(head: Head, features_TD: Tensor) -> list[GateMap]:
    """Every gate of every layer of a head on one clip; none for heads without recurrence."""
    with torch.inference_mode():
        cells = head.trace(features_TD[None], torch.tensor([len(features_TD)])).cells
    maps = []
    for trace, layer_name in zip(cells, layer_names(cells), strict=True):
        shares = {each.gate: each for each in gate_saturation(trace)}
        for name, (low, high) in trace.cell.gate_ranges.items():
            values_TH = trace.gate(name)[0].float().numpy()
            share = shares.get(name)
            maps.append(
                GateMap(
                    *(trace.layer, trace.direction, layer_name, name, values_TH, low, high),
                    share.low if share else None,
                    share.high if share else None,
                )
            )
    return maps
