"""Does a probability of 0.8 mean right in 8 of 10? The error, its bins, and the temperature."""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.tallies import NUM_BINS, calibration_excess

TEMPERATURES = (0.02, 50.0)


def expected_calibration_error(logits_NK: Tensor, target_N: Tensor) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, 0 to 1.

    Guo et al., arXiv 1706.04599, equation 3. Clips that could not be read have no confidence
    and are left out; NaN if there are none to be read.
    """
    logits_NK, target_N = _readable(logits_NK, target_N)
    if not len(target_N):
        return float("nan")
    probs_NK = logits_NK.softmax(dim=1)
    error = multiclass_calibration_error(
        probs_NK, target_N, num_classes=probs_NK.shape[1], n_bins=NUM_BINS, norm="l1"
    )
    return float(error)


def _readable(logits_NK: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
    readable_N = ~logits_NK.isnan().any(dim=1)
    return logits_NK[readable_N], target_N[readable_N]


@dataclass(frozen=True)
class Bin:
    """Clips of like confidence: its edges, how many, their mean confidence and accuracy."""

    low: float
    high: float
    clips: int
    confidence: float
    accuracy: float


def reliability(logits_NK: Tensor, target_N: Tensor) -> list[Bin]:
    """The bins behind the error; those without clips are left out."""
    logits_NK, target_N = _readable(logits_NK, target_N)
    bin_N, _ = calibration_excess(logits_NK, target_N)
    bin_N = bin_N.clamp(max=NUM_BINS - 1)
    confidence_N, preds_N = logits_NK.softmax(dim=1).max(dim=1)
    right_N = (preds_N == target_N).double()
    return [
        Bin(
            b / NUM_BINS,
            (b + 1) / NUM_BINS,
            int((bin_N == b).sum()),
            confidence_N[bin_N == b].double().mean().item(),
            right_N[bin_N == b].mean().item(),
        )
        for b in bin_N.unique().tolist()
    ]


def fit_temperature(logits_NK: Tensor, target_N: Tensor) -> float | None:
    """The temperature with the least cross-entropy on these clips.

    Guo et al., arXiv 1706.04599, section 4.2. The loss is convex in 1/T, and so has
    one minimum. Fit on validation clips, not on those of the training.
    None if the minimum is not within `TEMPERATURES`: where every clip is right, ever more
    confidence would be better still, and where none is, ever less.

    Raises:
        ValueError: if no clip has scores.
    """
    logits_NK, target_N = _readable(logits_NK.double(), target_N)
    if not len(target_N):
        raise ValueError("no readable clip to fit a temperature on")

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(logits_NK * math.exp(-log_temperature), target_N))

    bounds = [math.log(bound) for bound in TEMPERATURES]
    found = math.exp(
        minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x
    )
    return found if TEMPERATURES[0] * 1.01 < found < TEMPERATURES[1] / 1.01 else None


@dataclass(frozen=True)
class CalibrationFigures:
    """How clips that could be read are believed, and are right.

    Attributes:
        ece: the calibration error.
        loss: cross-entropy.
        brier: 0 to 2.
        confidence: mean of it.
        readable_accuracy: of the clips that have a confidence.
        accuracy: of all clips, unreadable ones being wrong, as `test` has it.
    """

    ece: float
    loss: float
    brier: float
    confidence: float
    readable_accuracy: float
    accuracy: float


def calibration_figures(logits_NK: Tensor, target_N: Tensor) -> CalibrationFigures:
    """The figures of some clips; NaN rows are those that could not be read.

    Raises:
        ActionRNNError: if no clip could be read.
    """
    num_clips = len(target_N)
    logits_NK, target_N = _readable(logits_NK, target_N)
    if not len(target_N):
        raise ActionRNNError("none of the clips could be read: there is no confidence to judge")
    probs_NK = logits_NK.softmax(dim=1)
    confidence_N, preds_N = probs_NK.max(dim=1)
    num_right = int((preds_N == target_N).sum())
    truth_NK = torch.nn.functional.one_hot(target_N, logits_NK.shape[1])
    return CalibrationFigures(
        ece=expected_calibration_error(logits_NK, target_N),
        loss=float(cross_entropy(logits_NK, target_N)),
        brier=float((probs_NK - truth_NK).square().sum(dim=1).mean()),
        confidence=float(confidence_N.mean()),
        readable_accuracy=num_right / len(target_N),
        accuracy=num_right / num_clips,
    )
