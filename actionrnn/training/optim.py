"""Which parameters weight decay may shrink."""

from typing import Any

from torch import nn


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimiser groups: matrices with weight decay; biases and norm gains without.

    A bias says where a gate stands and a gain how wide a layer is; pulling them to zero is a
    prior nobody means (an LSTM's forget bias would decay from 1 to 0).
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
