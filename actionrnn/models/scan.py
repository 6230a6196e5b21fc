"""`h_t = a_t h_{t-1} + b_t` for all t, when every a_t and b_t is known: two ways, one result."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Differences of running sums of log a lose digits as the sums grow. Measured in float32 over 1024
# frames of nearly closed gates (log a = -20 on average): worst relative error 1.7e-4 in chunks of
# 64 frames, 2.7e-3 in one piece; with log a = -0.7: 6e-6 and 1e-4.
CHUNK_FRAMES = 64


def scan_in_log_space(log_a_BTH: Tensor, log_b_BTH: Tensor, start_BH: Tensor) -> Tensor:
    """All `h_t = a_t h_{t-1} + b_t` from h_{-1} = start >= 0, by prefix sums in log space.

    Args:
        log_a_BTH: log of the kept share, <= 0.
        log_b_BTH: log of what is added.
        start_BH: the state before the first frame; zeros are allowed.
    """
    chunks = []
    for log_a, log_b in zip(
        torch.split(log_a_BTH, CHUNK_FRAMES, 1),
        torch.split(log_b_BTH, CHUNK_FRAMES, 1),
        strict=True,
    ):
        log_kept = log_a.cumsum(dim=1)
        log_added = log_kept + (log_b - log_kept).logcumsumexp(dim=1)
        chunks.append(log_kept.exp() * start_BH[:, None] + log_added.exp())
        start_BH = chunks[-1][:, -1]
    return torch.cat(chunks, dim=1)


class Recurrence(torch.autograd.Function):
    """The recurrence as it stands, frame after frame; its gradient is one too, run backwards."""

    @staticmethod
    def forward(ctx: Any, a_BTH: Tensor, b_BTH: Tensor, start_BH: Tensor) -> Tensor:
        """Args as in `scan_in_log_space`, without logs."""
        hidden_BTH = torch.empty_like(b_BTH)
        before_BH = start_BH
        for t in range(a_BTH.shape[1]):
            torch.addcmul(b_BTH[:, t], a_BTH[:, t], before_BH, out=hidden_BTH[:, t])
            before_BH = hidden_BTH[:, t]
        ctx.save_for_backward(a_BTH, hidden_BTH, start_BH)
        return hidden_BTH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`g_t = dL/dh_t + a_{t+1} g_{t+1}`; then dL/db_t = g_t and dL/da_t = g_t h_{t-1}."""
        a_BTH, hidden_BTH, start_BH = ctx.saved_tensors
        total_BTH = grad_BTH.clone(memory_format=torch.contiguous_format)
        for t in range(a_BTH.shape[1] - 1, 0, -1):
            total_BTH[:, t - 1].addcmul_(a_BTH[:, t], total_BTH[:, t])
        before_BTH = torch.cat([start_BH[:, None], hidden_BTH[:, :-1]], dim=1)
        return total_BTH * before_BTH, total_BTH, a_BTH[:, 0] * total_BTH[:, 0]


def recurrence(a_BTH: Tensor, b_BTH: Tensor, start_BH: Tensor) -> Tensor:
    """All h_t by a loop over frames, the fastest way on a CPU. Differentiable once."""
    hidden_BTH: Tensor = Recurrence.apply(a_BTH, b_BTH, start_BH)
    return hidden_BTH
