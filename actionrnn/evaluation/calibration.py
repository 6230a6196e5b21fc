"""Does a probability of 0.8 mean right in 8 of 10? The error, its bins, and the temperature."""

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.bootstrap import NUM_BINS, calibration_excess

TEMPERATURES = (0.02, 50.0)


def expected_calibration_error(logits_NK: Tensor, target_N: Tensor) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, 0 to 1.

    Guo et al., arXiv 1706.04599, equation 3. Clips that could not be read have no confidence
    and are left out; NaN if there are none to be read.
    """
    readable_N = ~logits_NK.isnan().any(dim=1)
    if not bool(readable_N.any()):
        return float("nan")
    probs_NK = logits_NK[readable_N].softmax(dim=1)
    num_classes = logits_NK.shape[1]
    error = multiclass_calibration_error(
        probs_NK, target_N[readable_N], num_classes=num_classes, n_bins=NUM_BINS, norm="l1"
    )
    return float(error)


def reliability(logits_NK: Tensor, target_N: Tensor) -> pd.DataFrame:
    """The bins behind the error: `low, high` (edges), `clips`, mean `confidence`, `accuracy`.

    Bins without clips are left out.
    """
    readable_N = ~logits_NK.isnan().any(dim=1)
    logits_NK, target_N = logits_NK[readable_N], target_N[readable_N]
    bin_N, _ = calibration_excess(logits_NK, target_N)
    confidence_N, preds_N = logits_NK.softmax(dim=1).max(dim=1)
    clips = pd.DataFrame(
        {
            "bin": bin_N.clamp(max=NUM_BINS - 1).numpy(),
            "confidence": confidence_N.double().numpy(),
            "accuracy": (preds_N == target_N).double().numpy(),
        }
    )
    bins = clips.groupby("bin").agg(
        clips=("confidence", "size"),
        confidence=("confidence", "mean"),
        accuracy=("accuracy", "mean"),
    )
    low = bins.index.to_numpy() / NUM_BINS
    bins.insert(0, "low", low)
    bins.insert(1, "high", low + 1 / NUM_BINS)
    return bins.reset_index(drop=True)


def fit_temperature(logits_NK: Tensor, target_N: Tensor) -> float | None:
    """The temperature with the least cross-entropy on these clips.

    Guo et al., arXiv 1706.04599, section 4.2. The loss is convex in 1/T: a golden-section
    search finds its one minimum. Fit on validation clips, not on those of the training.
    None if the minimum is not within `TEMPERATURES`: where every clip is right, ever more
    confidence would be better still, and where none is, ever less.

    Raises:
        ValueError: if no clip has scores.
    """
    readable_N = ~logits_NK.isnan().any(dim=1)
    if not bool(readable_N.any()):
        raise ValueError("no readable clip to fit a temperature on")
    logits_NK, target_N = logits_NK[readable_N].double(), target_N[readable_N]

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(logits_NK * math.exp(-log_temperature), target_N))

    low, high = (math.log(bound) for bound in TEMPERATURES)
    golden = (5**0.5 - 1) / 2
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    found = math.exp((low + high) / 2)
    return found if TEMPERATURES[0] * 1.01 < found < TEMPERATURES[1] / 1.01 else None


def calibration_figures(logits_NK: Tensor, target_N: Tensor) -> dict[str, Any]:
    """`ece`, `loss` (cross-entropy), `brier` (0 to 2), mean `confidence`, `accuracy`.

    Over readable clips only: the others have no confidence.

    Raises:
        ActionRNNError: if no clip could be read.
    """
    readable_N = ~logits_NK.isnan().any(dim=1)
    if not bool(readable_N.any()):
        raise ActionRNNError("none of the clips could be read: there is no confidence to judge")
    logits_NK, target_N = logits_NK[readable_N], target_N[readable_N]
    probs_NK = logits_NK.softmax(dim=1)
    confidence_N, preds_N = probs_NK.max(dim=1)
    truth_NK = torch.nn.functional.one_hot(target_N, logits_NK.shape[1])
    return {
        "ece": expected_calibration_error(logits_NK, target_N),
        "loss": float(cross_entropy(logits_NK, target_N)),
        "brier": float((probs_NK - truth_NK).square().sum(dim=1).mean()),
        "confidence": float(confidence_N.mean()),
        "accuracy": float((preds_N == target_N).double().mean()),
    }
