"""Features that are no numbers are found before they spoil a run, and named."""

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError


class NotFinite(ActionRNNError):
    """A loss or a feature became NaN or infinite; the run is of no use from here on."""


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


def named(video_ids: list[str], most: int = 20) -> str:
    """The ids, or the first of them."""
    more = f", ... ({len(video_ids)} clips)" if len(video_ids) > most else ""
    return ", ".join(video_ids[:most]) + more
