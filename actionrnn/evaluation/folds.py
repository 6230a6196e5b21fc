"""Several test folds together: the mean of a figure over them, and how far to trust it."""

from typing import Any

import pandas as pd
import torch

from actionrnn.evaluation.bootstrap import draw_weights, group_ids, interval
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import headline_figures


def mean_over_folds(folds: list[Predictions]) -> dict[str, dict[str, Any]]:
    """The mean of every headline figure over folds, with a 95 % interval over groups.

    Groups are drawn once for all folds: a recording that is tested in several folds (UCF101) is
    in or out of all of them together, and one that is tested once (cross-validation) counts
    once. A draw in which a fold has no figure is left out.

    Returns:
        `{figure: {"mean": value, "interval": [low, high] or None}}` for the figures that all
        folds have.
    """
    group_N = group_ids(pd.concat([fold.table for fold in folds], ignore_index=True))
    num_groups = int(group_N.max()) + 1
    weights_RG = torch.ones(1, num_groups, dtype=torch.float64)
    if num_groups > 1:
        weights_RG = torch.cat([weights_RG, draw_weights(num_groups)])
    parts = group_N.split([len(fold.table) for fold in folds])
    figures = [
        headline_figures(fold, weights_RG, part) for fold, part in zip(folds, parts, strict=True)
    ]
    found = {}
    for key in figures[0]:
        if all(key in each for each in figures):
            mean_R = torch.stack([each[key] for each in figures]).mean(dim=0)
            bounds = interval(mean_R[1:], num_groups)
            found[key] = {"mean": mean_R[0].item(), "interval": list(bounds) if bounds else None}
    return found
