"""How weights start.

| parameter              | start                                                     |
|------------------------|-----------------------------------------------------------|
| input weights          | Xavier uniform, each gate by itself                       |
| recurrent weights      | orthogonal, each gate by itself (Saxe et al. 1312.6120)   |
| all other biases       | 0                                                         |
| LSTM, minLSTM forget   | 1, once: `bias_ih` and `bias_hh` add, so one of them is 0 |
| classifier, attention  | PyTorch's default                                         |

With `init="chrono"` (Tallec & Ollivier, arXiv 1804.11188), `c_H ~ log U(1, T_max - 1)`:

| cell    | biases                    | because                                               |
|---------|---------------------------|-------------------------------------------------------|
| LSTM    | `b_f = c`, `b_i = -c`     | the paper's equation 18                               |
| minLSTM | `b_f = c`, `b_i = -c`     | then `f / (f + i) = sigmoid(c)` where the input is 0  |
| GRU     | `b_z = +c`                | PyTorch's update gate z *keeps* the old state         |
| minGRU  | `b_z = -c`                | Feng et al.'s update gate z *replaces* the old state  |

A unit then forgets with a time constant between 2 and T_max frames.
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


def chrono_bias(hidden_size: int, max_frames: int) -> Tensor:
    """`log U(1, max_frames - 1)`, float32 (H,)."""
    return torch.empty(hidden_size).uniform_(1.0, max_frames - 1.0).log()
