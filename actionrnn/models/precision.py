"""Where half precision is not enough."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Sums over frames and exponents need more digits and range than autocast's half types."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
