"""The learning rate of every step: a function of the step and of how many there will be."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Phase = Sequence[int]
"""`(end, total)`: before step `end` the run was to have `total` steps in all."""


def share_of_peak(step: int, total_steps: int, warmup_share: float) -> float:
    """Linear warm-up to 1, then half a cosine to 0, for 0 <= step <= total_steps."""
    warmup_steps = round(warmup_share * total_steps)
    if step < warmup_steps:
        return 1 / warmup_steps + (1 - 1 / warmup_steps) * step / warmup_steps
    rest = max(1, total_steps - warmup_steps)
    return (1 + math.cos(math.pi * min(step - warmup_steps, rest) / rest)) / 2


class WarmupCosine(LRScheduler):
    """Sets the rate of every step by `share_of_peak`; it has no memory but the step.

    A run that is resumed with more epochs so follows the schedule of the new number from there
    on, whatever rates its checkpoint holds.

    Args:
        optimizer: whose rate is set.
        peak: gives the highest rate; asked at every step, since a rate may be searched for.
        total_steps: of the whole run.
        warmup_share: share of the steps in which the rate climbs.
        phases: of a resumed run, what its earlier parts took for the number of steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        peak: Callable[[], float],
        total_steps: int,
        warmup_share: float,
        phases: Sequence[Phase] = (),
    ) -> None:
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_share = warmup_share
        self.phases = phases
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Any]:
        """The rate of the step that comes next, for every group."""
        step = self.last_epoch
        total = next((total for end, total in self.phases if step < end), self.total_steps)
        rate = self.peak() * share_of_peak(step, total, self.warmup_share)
        return [rate for _ in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The step alone."""
        return {"step": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at a step (of checkpoints before format 3: of their warm-up's own schedule)."""
        self.last_epoch = state_dict["step" if "step" in state_dict else "last_epoch"]
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
