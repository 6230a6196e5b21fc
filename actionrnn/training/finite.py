"""Features, losses and gradients that are no numbers are found before they spoil a run, and named.

On a CPU each step is looked at as it is taken. On a GPU a look waits for the device: there the
findings stay where they were made, and many steps are looked at together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.training.action_data import Subset


class NotFinite(ActionRNNError):
    """A feature, a loss or a gradient became NaN or infinite; the run is of no use from here on."""


def rows_not_finite(features_BVTD: Tensor) -> Tensor:
    """Which clips of a batch hold a NaN or an infinity, bool (B,).

    A loss does not tell: tanh turns an infinite feature into 1, and a head that reads one frame
    never sees the others.
    """
    # One sum is 20 times cheaper than a look at every value, and no good value makes it NaN or
    # infinite unless features reach 1e34; those are then looked at one by one.
    if bool(features_BVTD.sum().isfinite()):
        return torch.zeros(len(features_BVTD), dtype=torch.bool, device=features_BVTD.device)
    return ~features_BVTD.flatten(1).isfinite().all(dim=1)


def all_rows_not_finite(features_BVTD: Tensor) -> Tensor:
    """The same without a look at what was found, which on a GPU would wait."""
    return ~features_BVTD.flatten(1).abs().amax(dim=1).isfinite()


@dataclass
class Step:
    """What a batch of training, or of validation within it, came to.

    Attributes:
        step, epoch: when, both from 0.
        learning_rate: then.
        subset: the part of the split, `train` or `val`.
        at_once: it is looked at as it is taken, and not later together with others.
        index_B: row of each clip in its split.
        bad_B: bool, clips whose features are not finite.
        loss: of training, float (); None before it is known.
        gradient: norm of the whole gradient, float (); None before it is known.
    """

    step: int
    epoch: int
    learning_rate: float
    subset: Subset
    at_once: bool
    index_B: Tensor
    bad_B: Tensor
    loss: Tensor | None = None
    gradient: Tensor | None = None

    def is_bad(self) -> Tensor:
        """Whether anything of it is no number, bool (), on the device."""
        found = self.bad_B.any()
        for value in (self.loss, self.gradient):
            if value is not None:
                found = found | ~value.isfinite()
        return found


def first_bad(unread: list[Step]) -> Step | None:
    """The first step with something in it that is no number; waits for the device once."""
    if not unread:
        return None
    bad = torch.stack([each.is_bad() for each in unread]).tolist()
    return unread[bad.index(True)] if True in bad else None


def named(video_ids: list[str], most: int = 20) -> str:
    """The ids, or the first of them."""
    more = f", ... ({len(video_ids)} clips)" if len(video_ids) > most else ""
    return ", ".join(video_ids[:most]) + more
