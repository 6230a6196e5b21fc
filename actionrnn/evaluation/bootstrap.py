"""How far the headline figures would move with another sample of recordings.

Clips of one recording are no independent evidence, so whole groups are drawn, with replacement.
Every figure follows from sums over groups; a bootstrap draw is then a row of weights, and all
draws together are a few matrix products.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from actionrnn.training.metrics import predictions, top_k_hits

NUM_DRAWS = 2000
LEVEL = 0.95
NUM_BINS = 15
_DRAWS_AT_ONCE = 200


class Interval(NamedTuple):
    """The values that the data leaves open at a confidence of 95 %."""

    low: float
    high: float


def group_ids(table: pd.DataFrame) -> Tensor:
    """Which group each clip of a predictions table belongs to, int64 (N,), 0 <= id < G.

    A clip without a group is a group of its own.
    """
    alone = "\0" + table["video_id"].astype(str)
    named = table["group"].astype(str)
    codes, _ = pd.factorize(named.where((named != "").to_numpy(), alone))
    return torch.from_numpy(codes).long()


@dataclass(frozen=True)
class Tallies:
    """Sums over the clips of each of G groups, from which every headline figure follows.

    Attributes:
        clips_G, readable_G, right_G, top5_G: number of clips; readable; right; right in five.
        view_right_G: clips right, each counted by the share of its views that are right.
        support_GK, hits_GK, predicted_GK: clips of a class; found; clips called so.
        excess_GB: confidence minus correctness, summed over the clips of each confidence bin.
    """

    clips_G: Tensor
    readable_G: Tensor
    right_G: Tensor
    top5_G: Tensor
    view_right_G: Tensor
    support_GK: Tensor
    hits_GK: Tensor
    predicted_GK: Tensor
    excess_GB: Tensor

    @classmethod
    def of(cls, logits_NVK: Tensor, logits_NK: Tensor, target_N: Tensor, group_N: Tensor
           ) -> "Tallies":  # fmt: skip
        """Count.

        Args:
            logits_NVK: scores of every view; NaN rows are clips that could not be read.
            logits_NK: scores of the clips, from which confidence is taken.
            target_N: class indices.
            group_N: group of each clip, as `group_ids` numbers them.
        """
        num_classes = logits_NK.shape[1]
        preds_N = predictions(logits_NK)
        right_N = (preds_N == target_N).float()
        readable_N = preds_N < num_classes
        view_right_N = (logits_NVK.argmax(dim=2) == target_N[:, None]).float().mean(dim=1)
        support_NK = one_hot(target_N, num_classes).float()
        bin_N, excess_N = calibration_excess(logits_NK, target_N)
        in_bin_NB = one_hot(bin_N, NUM_BINS + 1) * excess_N[:, None]
        per_clip = (
            torch.ones_like(right_N),
            readable_N.float(),
            right_N,
            top_k_hits(logits_NK, target_N, 5).float(),
            view_right_N * readable_N,
            support_NK,
            support_NK * right_N[:, None],
            one_hot(preds_N, num_classes + 1)[:, :num_classes].float(),
            in_bin_NB * readable_N[:, None],
        )
        num_groups = int(group_N.max()) + 1
        return cls(*(_sum_by_group(values.double(), group_N, num_groups) for values in per_clip))

    def recall(self, weights_RG: Tensor) -> Tensor:
        """Accuracy of every class under every weighting, (R, K); NaN where it has no clip."""
        return (weights_RG @ self.hits_GK) / (weights_RG @ self.support_GK)

    def figures(self, weights_RG: Tensor) -> dict[str, Tensor]:
        """Every headline figure under every weighting of the groups, (R,) each.

        With weights of one these are the figures of the split itself, as torchmetrics has them.
        """
        clips_R = weights_RG @ self.clips_G
        support_RK = weights_RG @ self.support_GK
        hits_RK = weights_RG @ self.hits_GK
        f1_RK = 2 * hits_RK / (support_RK + weights_RG @ self.predicted_GK)
        has_clips_RK = support_RK > 0
        return {
            "accuracy": (weights_RG @ self.right_G) / clips_R,
            "macro_accuracy": _mean_where(hits_RK / support_RK, has_clips_RK),
            "top5_accuracy": (weights_RG @ self.top5_G) / clips_R,
            "macro_f1": _mean_where(f1_RK, has_clips_RK),
            "ece": (weights_RG @ self.excess_GB).abs().sum(dim=1) / (weights_RG @ self.readable_G),
            "view_accuracy": (weights_RG @ self.view_right_G) / clips_R,
        }


def calibration_excess(logits_NK: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence bin of each clip, int64 (N,), and its confidence minus correctness, (N,).

    Bins are those of torchmetrics: `NUM_BINS` equal ones, and one for a confidence of exactly 1.
    Clips that could not be read get bin 0 and 0.
    """
    confidence_N, preds_N = logits_NK.softmax(dim=1).nan_to_num(nan=0.0).max(dim=1)
    edges = torch.linspace(0, 1, NUM_BINS + 1, dtype=confidence_N.dtype)
    bin_N = (torch.bucketize(confidence_N, edges, right=True) - 1).clamp(0, NUM_BINS)
    excess_N = confidence_N - (preds_N == target_N).to(confidence_N)
    return bin_N, excess_N.masked_fill(logits_NK.isnan().any(dim=1), 0.0)


def draw_weights(num_groups: int, num_draws: int = NUM_DRAWS, seed: int = 0) -> Tensor:
    """How often each group is in each bootstrap sample, float64 (R, G); rows sum to G."""
    generator = torch.Generator().manual_seed(seed)
    weights_RG = torch.zeros(num_draws, num_groups, dtype=torch.float64)
    for start in range(0, num_draws, _DRAWS_AT_ONCE):
        some_RG = weights_RG[start : start + _DRAWS_AT_ONCE]
        drawn = torch.randint(num_groups, tuple(some_RG.shape), generator=generator)
        some_RG.scatter_add_(1, drawn, torch.ones_like(some_RG))
    return weights_RG


def interval(draws_R: Tensor, num_groups: int, is_share: bool = True) -> Interval | None:
    """The 95 % interval of a figure from its bootstrap draws; None for fewer than two groups.

    Plain percentile intervals are too narrow with few groups. The expanded ones of Hesterberg
    (What Teachers Should Know About the Bootstrap, 2015, section 5.3.1) use Student's t. Where
    every clip is right (or wrong) no draw can differ; the interval then is the exact binomial
    one (Clopper & Pearson 1934) with each group as a single trial.

    Args:
        draws_R: the figure in each draw; those that are not finite are left out.
        num_groups: how many groups the clips of this figure come from.
        is_share: the figure is a share, 0 to 1 (a difference of shares is not).
    """
    draws_R = draws_R[draws_R.isfinite()]
    if num_groups < 2 or not len(draws_R):
        return None
    tail = expanded_tail(num_groups)
    low, high = draws_R.quantile(torch.tensor([tail, 1 - tail], dtype=draws_R.dtype)).tolist()
    if is_share and low == high and low in (0.0, 1.0):
        unseen = ((1 - LEVEL) / 2) ** (1 / num_groups)
        return Interval(unseen, 1.0) if low == 1.0 else Interval(0.0, 1 - unseen)
    return Interval(low, high)


def expanded_tail(num_groups: int) -> float:
    """Share of draws beyond each end of the interval: 2.5 % for many groups, less for few."""
    widening = math.sqrt(num_groups / (num_groups - 1))
    return NormalDist().cdf(-widening * student_t((1 + LEVEL) / 2, num_groups - 1))


def student_t(probability: float, degrees: int) -> float:
    """Quantile of Student's t: exact for 1 and 2 degrees, else within 0.5 % (Hill's expansion).

    Abramowitz & Stegun 26.7.5.
    """
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        return (2 * probability - 1) * math.sqrt(0.5 / (probability * (1 - probability)))
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / degrees**power for power, term in enumerate(terms))


def _sum_by_group(values_N: Tensor, group_N: Tensor, num_groups: int) -> Tensor:
    sums = torch.zeros(num_groups, *values_N.shape[1:], dtype=values_N.dtype)
    return sums.index_add_(0, group_N, values_N)


def _mean_where(values_RK: Tensor, counted_RK: Tensor) -> Tensor:
    return values_RK.masked_fill(~counted_RK, 0).sum(dim=1) / counted_RK.sum(dim=1)
