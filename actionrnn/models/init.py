"""How weights start.

| parameter             | start                                                      |
|-----------------------|------------------------------------------------------------|
| input weights         | Xavier uniform, each gate by itself                        |
| recurrent weights     | orthogonal, each gate by itself (Saxe et al., 1312.6120)   |
| gates that keep state | see below: bias c                                          |
| all other biases      | 0; `bias_ih` and `bias_hh` add, so c stands in one of them |
| classifier, attention | PyTorch's default                                          |

Every gated cell keeps a share sigmoid(c) of its state where the input says nothing. With
`init="orthogonal"` c = 1 (73 %), the forget bias of Gers et al. 2000 and Jozefowicz et al. 2015;
with `init="chrono"` c ~ log U(1, T_max - 1), one for every unit, so that memories last between
2 and T_max frames (Tallec & Ollivier, arXiv 1804.11188, equation 18 and section 2.2).

| cell    | `orthogonal`         | `chrono`             | because                               |
|---------|----------------------|----------------------|---------------------------------------|
| LSTM    | `b_f = c`            | `b_f = c, b_i = -c`  | f keeps                               |
| minLSTM | `b_f = c, b_i = -c`  | `b_f = c, b_i = -c`  | f / (f + i) keeps, and is sigmoid(c)  |
| GRU     | `b_z = c`            | `b_z = c`            | PyTorch's update gate z *keeps*       |
| minGRU  | `b_z = -c`           | `b_z = -c`           | Feng et al.'s z *replaces*            |
"""

import torch
from torch import Tensor, nn


def init_input_weights(weight_GxH_D: Tensor, num_gates: int) -> None:
    """Xavier uniform for each of the gates stacked along the first axis, in place."""
    for weight_HD in weight_GxH_D.detach().chunk(num_gates):
        nn.init.xavier_uniform_(weight_HD)


def init_recurrent_weights(weight_GxH_H: Tensor, num_gates: int) -> None:
    """Orthogonal matrices for each of the gates stacked along the first axis, in place."""
    for weight_HH in weight_GxH_H.detach().chunk(num_gates):
        nn.init.orthogonal_(weight_HH)


def keep_bias(hidden_size: int, chrono_max_frames: int | None) -> Tensor:
    """The bias c of the gates that keep state: 1, or `log U(1, max - 1)`; float32 (H,)."""
    if chrono_max_frames is None:
        return torch.ones(hidden_size)
    return torch.empty(hidden_size).uniform_(1.0, chrono_max_frames - 1.0).log()
