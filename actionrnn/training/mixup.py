"""Mixup (Zhang et al. 2018, arXiv 1710.09412) of clips of different lengths."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from actionrnn.models.lengths import check_lengths, take_frames, zero_padding


class Mixed(NamedTuple):
    """Mixed clips, of the lengths the first clips had.

    The loss is `share * loss(logits, target) + (1 - share) * loss(logits, target[partner])`,
    which is the cross-entropy with `targets`.

    Attributes:
        features_BTD: zero on padding.
        partner_B: row of the clip mixed in.
        share_B: weight of the clip itself, 0.5 <= share <= 1.
    """

    features_BTD: Tensor
    partner_B: Tensor
    share_B: Tensor

    def targets(self, target_B: Tensor, num_classes: int) -> Tensor:
        """Class probabilities of the mixtures, (B, K)."""
        own_BK = nn.functional.one_hot(target_B, num_classes).to(self.share_B.dtype)
        return torch.lerp(own_BK[self.partner_B], own_BK, self.share_B[:, None])


def mixup(features_BTD: Tensor, lengths_B: Tensor, alpha: float) -> Mixed:
    """Mix every clip with a random other one, weights from Beta(alpha, alpha).

    A partner of another length is read at the clip's own pace: frame t of n takes the partner's
    nearest frame at the same share of its duration. Cutting or padding it instead would promise
    `1 - share` of a label whose frames may not be there. The larger weight goes to the clip
    whose timing is kept. Random numbers are torch's global ones.

    Raises:
        ValueError: if alpha is not positive, or lengths do not fit.
    """
    if alpha <= 0:
        raise ValueError(f"mixup alpha {alpha} is out of range: > 0")
    num_clips, num_frames, _ = features_BTD.shape
    check_lengths(lengths_B, num_clips, num_frames)
    partner_B = torch.randperm(num_clips, device=features_BTD.device)
    concentration = torch.full((num_clips,), alpha, device=features_BTD.device)
    share_B = torch.distributions.Beta(concentration, concentration).sample()
    share_B = torch.maximum(share_B, 1 - share_B)
    other_BTD = at_pace(features_BTD[partner_B], lengths_B[partner_B], lengths_B)
    share_B11 = share_B[:, None, None].to(features_BTD.dtype)
    mixed_BTD = share_B11 * features_BTD + (1 - share_B11) * other_BTD
    return Mixed(zero_padding(mixed_BTD, lengths_B), partner_B, share_B)


def at_pace(features_BTD: Tensor, lengths_B: Tensor, new_lengths_B: Tensor) -> Tensor:
    """Resample each clip in time to a new length by its nearest frames; padding is arbitrary."""
    steps_T = torch.arange(features_BTD.shape[1], device=features_BTD.device)
    # Centre of the t-th of n equal segments, in whole numbers: floor((t + 1/2) * old / new).
    index_BT = (2 * steps_T + 1) * lengths_B[:, None] // (2 * new_lengths_B[:, None])
    return take_frames(features_BTD, torch.minimum(index_BT, lengths_B[:, None] - 1))
