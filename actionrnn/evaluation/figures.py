"""The headline figures of scored clips under any weighting of their groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from actionrnn.evaluation.auc import weighted_auroc
from actionrnn.evaluation.intervals import (
    Figure,
    draw_weights,
    error_figure,
    figure,
    group_ids,
    once,
)
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.tallies import Tallies
from actionrnn.training.metrics import AUC_MAX_CLASSES
from actionrnn.training.recognizer import clip_logits

HEADLINES = {
    "accuracy": "clip accuracy (top-1)",
    "view_accuracy": "view accuracy (each view alone)",
    "top5_accuracy": "top-5 accuracy",
    "macro_accuracy": "macro accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC (ROC, one-vs-rest)",
    "ece": "calibration error (ECE)",
}
LOWER_IS_BETTER = ("ece",)
_NO_SHARES = ("macro_f1", "auc")


@dataclass(frozen=True)
class GroupedScores:
    """Scores of clips by group.

    Attributes:
        tallies: sums over the clips of each group.
        logits_NK, target_N, group_N: the clips; NaN rows could not be read.
        keys: the headline figures that say something about these clips.
    """

    tallies: Tallies
    logits_NK: Tensor
    target_N: Tensor
    group_N: Tensor
    keys: tuple[str, ...]

    @classmethod
    def of(
        cls,
        logits_NVK: Tensor,
        target_N: Tensor,
        group_N: Tensor,
        num_groups: int | None = None,
        logits_NK: Tensor | None = None,
    ) -> "GroupedScores":
        """Count.

        Args:
            logits_NVK: scores of every view; NaN rows are clips that could not be read.
            target_N: class indices.
            group_N: group of each clip, as `group_ids` numbers them.
            num_groups: None is as many as there are; more where other clips have more.
            logits_NK: scores of the clips; None is those of the views at temperature 1.
        """
        if logits_NK is None:
            logits_NK = clip_logits(logits_NVK)
        num_groups = num_groups or int(group_N.max()) + 1
        tallies = Tallies.of(logits_NVK, logits_NK, target_N, group_N, num_groups)
        keys = _keys(logits_NK.shape[1], logits_NVK.shape[1], len(target_N.unique()))
        return cls(tallies, logits_NK, target_N, group_N, keys)

    @property
    def num_groups(self) -> int:
        """G, those without a clip here included."""
        return len(self.tallies.clips_G)

    def figures(self, weights_RG: Tensor) -> dict[str, Tensor]:
        """The headline figures under every weighting of the groups, (R,) each.

        Args:
            weights_RG: how often each group counts; ones give the figures of the clips.
        """
        found = self.tallies.figures(weights_RG)
        if "auc" in self.keys:
            clips = self.logits_NK, self.target_N, self.group_N
            found["auc"] = weighted_auroc(*clips, weights_RG)
        return {key: found[key] for key in self.keys}

    def macro_accuracies(self) -> Tensor:
        """Macro accuracy of the clips as they are, then in each bootstrap sample, (1 + R,)."""
        weights_RG = torch.cat([once(self.num_groups), draw_weights(self.num_groups)])
        return self.tallies.recall(weights_RG).nanmean(dim=1)

    def beside(self, other: "GroupedScores") -> "GroupedScores":
        """Both together, the groups of `other` numbered behind."""
        return GroupedScores(
            self.tallies.beside(other.tallies),
            torch.cat([self.logits_NK, other.logits_NK]),
            torch.cat([self.target_N, other.target_N]),
            torch.cat([self.group_N, other.group_N + self.num_groups]),
            tuple(key for key in self.keys if key in other.keys),
        )


def mean_figures(runs: Sequence[GroupedScores], num_clips: int) -> dict[str, Figure]:
    """The mean over runs of every headline figure that all have, with its interval.

    Args:
        runs: one or several, with the same numbering of groups.
        num_clips: how many different clips there are in them.
    """
    num_groups = runs[0].num_groups
    draws_RG = draw_weights(num_groups)
    weights_RG = torch.cat([once(num_groups), draws_RG])
    each = [run.figures(weights_RG) for run in runs]
    found = {}
    for key in (key for key in each[0] if all(key in other for other in each)):
        mean_R = mean_over_runs(runs, [values[key] for values in each], weights_RG)
        value, draws_R = mean_R[0].item(), mean_R[1:]
        if key == "ece":
            noises = [run.tallies.calibration_noise(draws_RG) for run in runs]
            noise_R = mean_over_runs(runs, noises, draws_RG)
            found[key] = error_figure(value, draws_R, noise_R, num_groups)
        else:
            is_share = key not in _NO_SHARES
            found[key] = figure(value, draws_R, num_groups, num_clips, is_share)
    return found


def mean_over_runs(
    runs: Sequence[GroupedScores], values: Sequence[Tensor], weights_RG: Tensor
) -> Tensor:
    """The mean over runs of a figure, (R,).

    A run counts as often as its groups were drawn: where each fold tests one group, those of them
    that were not drawn have no figure and no weight, and the rest are the sample.

    Args:
        runs: with the same numbering of groups.
        values: of each run the figure under every weighting, (R,).
        weights_RG: how often each group counts.
    """
    own_FG = torch.stack([run.tallies.clips_G > 0 for run in runs]).to(weights_RG)
    counts_FR = own_FG @ weights_RG.T / own_FG.sum(dim=1, keepdim=True)
    values_FR = torch.stack(list(values)).where(counts_FR > 0, 0.0)
    return (values_FR * counts_FR).sum(dim=0) / counts_FR.sum(dim=0)


def grouped(tables: Sequence[Predictions]) -> list[GroupedScores]:
    """Predictions tables (folds, seeds) over the groups of all of them together.

    A recording that is tested in several folds, or with several seeds, is one group.
    """
    columns = ["video_id", "group"]
    ids = group_ids(pd.concat([each.table[columns] for each in tables], ignore_index=True))
    parts = ids.split([len(each.table) for each in tables])
    num_groups = int(ids.max()) + 1
    return [
        GroupedScores.of(
            each.view_logits(), each.targets(), part, num_groups, logits_NK=each.logits()
        )
        for each, part in zip(tables, parts, strict=True)
    ]


def _keys(num_classes: int, num_views: int, num_present: int) -> tuple[str, ...]:
    """Top-5 needs more than five classes, and view accuracy several views; AUC needs clips of
    two classes, and not too many classes.
    """
    has_auc = num_present > 1 and num_classes <= AUC_MAX_CLASSES
    dropped = {
        "top5_accuracy": num_classes <= 5,
        "view_accuracy": num_views == 1,
        "auc": not has_auc,
    }
    return tuple(key for key in HEADLINES if not dropped.get(key))
