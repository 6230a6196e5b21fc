"""Does a probability of 0.8 mean right in 8 of 10? The error, its bins, and the temperature."""

import math
import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.bootstrap import (
    NUM_BINS,
    Tallies,
    calibration_excess,
    draw_weights,
    group_ids,
    interval,
)
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.models.recognizer import CHECKPOINT_KEY, clip_logits
from actionrnn.training.checkpoint import AtomicCheckpointIO, read_checkpoint
from actionrnn.training.data import Subset

TEMPERATURES = (0.02, 50.0)
FIGURES = {
    "ece": "calibration error (ECE)",
    "loss": "cross-entropy",
    "brier": "Brier score",
    "confidence": "mean confidence",
    "accuracy": "accuracy",
}


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


def store_temperature(ckpt_path: str | os.PathLike[str], temperature: float) -> None:
    """Write a temperature into a checkpoint, replacing the file in one step.

    Raises:
        ValueError: for a temperature that is not positive.
        ActionRNNError: if the file is not a checkpoint of ours.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: must be positive")
    checkpoint = read_checkpoint(ckpt_path)
    checkpoint[CHECKPOINT_KEY]["temperature"] = float(temperature)
    AtomicCheckpointIO().save_checkpoint(checkpoint, Path(ckpt_path))


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


def diagnose_calibration(run: TrainedModel, subset: Subset = "test") -> dict[str, Any]:
    """Reliability of a part of the split, and what a temperature would change; plain data.

    Returns:
        `temperature` (stored), `figures` as it is, `ece_interval` over groups, `bins`,
        `best_temperature` (fitted on validation clips; None if they do not determine one, and
        then the stored one is used) and `figures_then`, `bins_then` with it, `verdict`.
    """
    stored = run.recognizer.temperature
    raw_NK, target_N = clip_logits(run.score(subset).double()), run.targets(subset)
    best = fit_temperature(clip_logits(run.score("val").double()), run.targets("val"))
    now_NK, then_NK = raw_NK / stored, raw_NK / (best or stored)
    group_N = group_ids(run.data.part(subset).table)
    num_groups = int(group_N.max()) + 1
    tallies = Tallies.of(now_NK[:, None], now_NK, target_N, group_N)
    bounds = interval(tallies.figures(draw_weights(num_groups))["ece"], num_groups)
    result = {
        "subset": subset,
        "num_clips": len(target_N),
        "num_groups": num_groups,
        "temperature": stored,
        "figures": calibration_figures(now_NK, target_N),
        "ece_interval": bounds,
        "bins": reliability(now_NK, target_N).to_dict("records"),
        "best_temperature": best,
        "figures_then": calibration_figures(then_NK, target_N),
        "bins_then": reliability(then_NK, target_N).to_dict("records"),
    }
    return {**result, "verdict": _verdict(result)}


def _verdict(result: dict[str, Any]) -> str:
    now, then = result["figures"], result["figures_then"]
    gap = now["confidence"] - now["accuracy"]
    side = "over" if gap > 0 else "under"
    said = (
        f"mean confidence is {now['confidence']:.3f} where {now['accuracy']:.3f} is right "
        f"({side}confident by {abs(gap):.3f}); calibration error {now['ece']:.3f}"
    )
    if result["best_temperature"] is None:
        said += "; the validation clips do not determine a better temperature"
    elif then["loss"] < now["loss"] and then["ece"] < now["ece"] - 0.005:
        said += (
            f". `actionrnn calibrate` would store temperature {result['best_temperature']:.2f} "
            f"and bring it to {then['ece']:.3f}"
        )
    return said
