"""The area under the ROC curve of any weighting of groups, for its bootstrap interval."""

import torch
from torch import Tensor

from actionrnn.training.metrics import ranking_scores


def weighted_auroc(
    logits_NK: Tensor, target_N: Tensor, group_N: Tensor, weights_RG: Tensor
) -> Tensor:
    """The AUC of `training.metrics.auroc` with every clip counted as often as its group, (R,).

    Args:
        logits_NK: scores of the clips; NaN rows are clips that could not be read.
        target_N: class indices.
        group_N: group of each clip, 0 <= group < G.
        weights_RG: how often each group is drawn.

    Returns:
        Mean over the classes that can be judged in a draw; NaN for a draw without any.
    """
    scores_NK = ranking_scores(logits_NK, target_N)
    areas = [
        _area(scores_NK[:, k], target_N == k, group_N, weights_RG)
        for k in target_N.unique().tolist()
    ]
    return torch.stack(areas).nanmean(dim=0)


def _area(score_N: Tensor, is_class_N: Tensor, group_N: Tensor, weights_RG: Tensor) -> Tensor:
    """The weighted share of pairs (a clip of the class, one of the rest) in the right order.

    Scores of the class's M different values cut the rest into M + 1 buckets; the sums over a
    draw's buckets then need no pass over the clips.
    """
    value_M, index_P = score_N[is_class_N].unique(return_inverse=True)
    rest_N = score_N[~is_class_N].contiguous()
    num_groups, num_values = weights_RG.shape[1], len(value_M)
    class_GM = _count(group_N[is_class_N], index_P, (num_groups, num_values))
    # A tie is half a pair: it stands half below the value and half above.
    buckets_2 = [torch.searchsorted(value_M, rest_N, right=right) for right in (False, True)]
    rest_GM = 0.5 * _count(
        group_N[~is_class_N].repeat(2), torch.cat(buckets_2), (num_groups, num_values + 1)
    )
    class_RM, rest_RM = weights_RG @ class_GM, weights_RG @ rest_GM
    below_RM = rest_RM.cumsum(dim=1)[:, :-1]
    return (class_RM * below_RM).sum(dim=1) / (class_RM.sum(dim=1) * rest_RM.sum(dim=1))


def _count(row_N: Tensor, column_N: Tensor, shape: tuple[int, int]) -> Tensor:
    """How many items each cell of a table has, float64."""
    cells = torch.bincount(row_N * shape[1] + column_N, minlength=shape[0] * shape[1])
    return cells.double().reshape(shape)
