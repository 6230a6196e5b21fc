"""Sums over groups, from which every headline figure of every weighting of the groups follows."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from actionrnn.training.metrics import predictions, top_k_hits

NUM_BINS = 15


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
    def of(
        cls,
        logits_NVK: Tensor,
        logits_NK: Tensor,
        target_N: Tensor,
        group_N: Tensor,
        num_groups: int,
    ) -> "Tallies":
        """Count.

        Args:
            logits_NVK, target_N, group_N: see `GroupedScores.of`.
            logits_NK: scores of the clips, from which confidence is taken.
            num_groups: G; a group may have no clip here.
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
        return cls(*(_sum_by_group(values.double(), group_N, num_groups) for values in per_clip))

    def beside(self, other: "Tallies") -> "Tallies":
        """The groups of both, those of `other` behind."""
        names = [each.name for each in fields(self)]
        both = (torch.cat([getattr(self, name), getattr(other, name)]) for name in names)
        return Tallies(*both)

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

    def calibration_noise(self, weights_RG: Tensor) -> Tensor:
        """The calibration error that noise alone gives in bootstrap samples, (R,).

        The gaps between a sample's bins and those of the clips as they are.
        """
        once_1G = torch.ones(1, weights_RG.shape[1], dtype=weights_RG.dtype)
        gap_RB, gap_1B = (
            (each @ self.excess_GB) / (each @ self.readable_G)[:, None]
            for each in (weights_RG, once_1G)
        )
        return (gap_RB - gap_1B).abs().sum(dim=1)


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


def _sum_by_group(values_N: Tensor, group_N: Tensor, num_groups: int) -> Tensor:
    sums = torch.zeros(num_groups, *values_N.shape[1:], dtype=values_N.dtype)
    return sums.index_add_(0, group_N, values_N)


def _mean_where(values_RK: Tensor, counted_RK: Tensor) -> Tensor:
    return values_RK.masked_fill(~counted_RK, 0).sum(dim=1) / counted_RK.sum(dim=1)
