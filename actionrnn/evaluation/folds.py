"""Several tested runs together (folds, seeds): a mean figure, and how far to trust it."""

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from actionrnn.evaluation.bootstrap import draw_weights, group_ids, interval
from actionrnn.evaluation.comparison import same_clips
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import headline_figures


def mean_over_folds(folds: list[Predictions]) -> dict[str, dict[str, Any]]:
    """The mean of every headline figure over folds, with a 95 % interval over groups.

    Groups are drawn once for all folds: a recording that is tested in several folds (UCF101), or
    in one fold with several seeds, is in or out of all of them together. A draw in which a fold
    has no figure is left out.

    Returns:
        `{figure: {"mean": value, "interval": [low, high] or None}}` for the figures that all
        folds have.
    """
    means, num_groups = _means(folds)
    found = {}
    for key, mean_R in means.items():
        bounds = interval(mean_R[1:], num_groups)
        found[key] = {"mean": mean_R[0].item(), "interval": list(bounds) if bounds else None}
    return found


def ensemble(runs: list[Predictions]) -> Predictions:
    """Several runs on the same clips as one model, by the mean of their probabilities.

    Deep ensembles: Lakshminarayanan et al. 2017, arXiv 1612.01474.

    Raises:
        DataRejected: if they do not hold the same clips.
    """
    first, *others = runs
    aligned = [same_clips(first, other, ("the first run", "another")) for other in others]
    log_probs_RNK = torch.stack([each.logits().log_softmax(dim=-1) for each in [first, *aligned]])
    return first.rescored(log_probs_RNK.logsumexp(dim=0) - math.log(len(runs)))


def difference_over_folds(
    first: list[Predictions], second: list[Predictions], key: str = "accuracy"
) -> dict[str, Any]:
    """How much better the second model is on the same folds, by paired draws of groups.

    Returns:
        `difference` of the means (second - first), its 95 % `interval` or None, `verdict`:
        `better`, `worse`, `noise`, or `?` where one group alone cannot tell.

    Raises:
        DataRejected: if the tables of a fold do not hold the same clips.
    """
    pairs = zip(first, second, strict=True)
    second = [same_clips(a, b, ("the first", "the second")) for a, b in pairs]
    (means_a, num_groups), (means_b, _) = _means(first), _means(second)
    difference_R = means_b[key] - means_a[key]
    bounds = interval(difference_R[1:], num_groups, is_share=False)
    if bounds is None:
        verdict = "?"
    elif bounds.low <= 0 <= bounds.high:
        verdict = "noise"
    else:
        verdict = "better" if bounds.low > 0 else "worse"
    return {
        "difference": difference_R[0].item(),
        "interval": list(bounds) if bounds else None,
        "verdict": verdict,
    }


def _means(folds: list[Predictions]) -> tuple[dict[str, Tensor], int]:
    """Mean figures, as they are and then in every draw, (1 + R,) each; the number of groups."""
    group_N = group_ids(pd.concat([fold.table for fold in folds], ignore_index=True))
    num_groups = int(group_N.max()) + 1
    weights_RG = torch.ones(1, num_groups, dtype=torch.float64)
    if num_groups > 1:
        weights_RG = torch.cat([weights_RG, draw_weights(num_groups)])
    parts = group_N.split([len(fold.table) for fold in folds])
    figures = [
        headline_figures(fold, weights_RG, part) for fold, part in zip(folds, parts, strict=True)
    ]
    keys = [key for key in figures[0] if all(key in each for each in figures)]
    return {
        key: torch.stack([each[key] for each in figures]).mean(dim=0) for key in keys
    }, num_groups
