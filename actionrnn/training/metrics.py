"""The accuracy figures, computed in one place from the logits of every clip of a split.

`fit`'s validation, `validate`, `test` and the notebooks all call `classification_metrics`, so
the same clips always give the same numbers.
"""

import math

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multilabel_auroc,
)

# Sorting every class takes 7 s an evaluation for 20,000 clips of 400 classes (measured), and
# nobody reports it there.
AUC_MAX_CLASSES = 101


def predictions(logits_NK: Tensor) -> Tensor:
    """The predicted class of each clip; `K` (no class at all) where the logits are NaN.

    A clip that could not be read has NaN logits; giving it a class of its own makes it wrong.
    """
    preds_N = logits_NK.argmax(dim=1)
    return preds_N.masked_fill(logits_NK.isnan().any(dim=1), logits_NK.shape[1])


def top_k_hits(logits_NK: Tensor, target_N: Tensor, k: int) -> Tensor:
    """Whether the target is among the min(k, K) best classes, bool (N,); not where unreadable."""
    best_Nk = logits_NK.nan_to_num(nan=float("-inf")).topk(min(k, logits_NK.shape[1])).indices
    return (best_Nk == target_N[:, None]).any(dim=1) & ~logits_NK.isnan().any(dim=1)


def per_class_accuracy(preds_N: Tensor, target_N: Tensor, num_classes: int) -> Tensor:
    """Recall of each class, shape (K,); NaN for classes that no clip belongs to."""
    recall_K = multiclass_accuracy(preds_N, target_N, num_classes=num_classes + 1, average="none")[
        :num_classes
    ]
    support_K = target_N.bincount(minlength=num_classes)[:num_classes]
    return recall_K.masked_fill(support_K == 0, float("nan"))


def ranking_scores(logits_NK: Tensor, target_N: Tensor) -> Tensor:
    """How strongly each clip is called each class: log probability, float64 (N, K).

    A clip that could not be read is ranked as wrongly as can be: below all clips in its own
    class, above all in the others.
    """
    scores_NK = logits_NK.double().log_softmax(dim=1)
    own_NK = nn.functional.one_hot(target_N, logits_NK.shape[1]).bool()
    worst_NK = torch.where(own_NK, -math.inf, math.inf).double()
    return torch.where(logits_NK.isnan().any(dim=1, keepdim=True), worst_NK, scores_NK)


def auroc(logits_NK: Tensor, target_N: Tensor) -> float:
    """Area under the ROC curve, each class against the rest, mean over classes (Fawcett 2006).

    The chance that a clip of the class is ranked above one of another class; 0.5 is guessing,
    and with two classes it is the usual AUC. Only classes that some clips have and others have
    not are counted; NaN if there is none, or if there are more than `AUC_MAX_CLASSES` classes.
    Unreadable clips count as ranked wrongly.
    """
    num_clips, num_classes = logits_NK.shape
    support_K = target_N.bincount(minlength=num_classes)[:num_classes]
    counted_K = (support_K > 0) & (support_K < num_clips)
    if num_classes > AUC_MAX_CLASSES or not bool(counted_K.any()):
        return math.nan
    # Ranks, because torchmetrics squeezes scores outside [0, 1] through a sigmoid.
    scores_NC = ranking_scores(logits_NK, target_N)[:, counted_K]
    ranks_NC = torch.stack([c.unique(return_inverse=True)[1] for c in scores_NC.unbind(1)], dim=1)
    own_NC = nn.functional.one_hot(target_N, num_classes)[:, counted_K]
    area = multilabel_auroc(
        ranks_NC.double() / num_clips, own_NC, num_labels=own_NC.shape[1], average="macro"
    )
    return float(area)


def classification_metrics(logits_NK: Tensor, target_N: Tensor) -> dict[str, float]:
    """Accuracy (micro), macro accuracy, top-5, macro F1 and loss of a whole split.

    Args:
        logits_NK: float (N, K), one row a clip; a row of NaN is a clip that could not be read.
        target_N: int64 (N,), 0 <= target < K.

    Returns:
        `accuracy` (share of all clips that are right), `macro_accuracy` (mean recall over the
        classes that have clips), `top5_accuracy` (min(5, K) guesses), `macro_f1`, all in [0, 1]
        and with unreadable clips counted as wrong; `auc` (see `auroc`) unless all clips are of
        one class or the classes are many; `loss`, the mean cross-entropy over readable clips (NaN
        if there are none); `num_clips`, `num_unreadable`.

    Raises:
        ValueError: if there is no clip.
    """
    if len(target_N) == 0:
        raise ValueError("no clips to score: the split is empty")
    num_classes = logits_NK.shape[1]
    preds_N = predictions(logits_NK)
    readable_N = preds_N < num_classes
    recall_K = per_class_accuracy(preds_N, target_N, num_classes)
    f1_K = multiclass_f1_score(preds_N, target_N, num_classes=num_classes + 1, average="none")
    has_clips_K = ~recall_K.isnan()
    loss = nn.functional.cross_entropy(logits_NK[readable_N], target_N[readable_N])
    area = auroc(logits_NK, target_N)
    return {
        "accuracy": (preds_N == target_N).float().mean().item(),
        "macro_accuracy": recall_K[has_clips_K].mean().item(),
        "top5_accuracy": top_k_hits(logits_NK, target_N, 5).float().mean().item(),
        "macro_f1": f1_K[:num_classes][has_clips_K].mean().item(),
        **({} if math.isnan(area) else {"auc": area}),
        "loss": loss.item(),
        "num_clips": float(len(target_N)),
        "num_unreadable": float((~readable_N).sum().item()),
    }
