"""How far a run's probabilities can be believed, and what a temperature would change."""

import os
from pathlib import Path
from typing import Any

from actionrnn.evaluation.bootstrap import Tallies, draw_weights, group_ids, interval
from actionrnn.evaluation.calibration import calibration_figures, fit_temperature, reliability
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.checkpoint import SealedCheckpointIO, read_checkpoint
from actionrnn.training.data import Subset
from actionrnn.training.recognizer import CHECKPOINT_KEY, clip_logits

FIGURES = {
    "ece": "calibration error (ECE)",
    "loss": "cross-entropy",
    "brier": "Brier score",
    "confidence": "mean confidence",
    "accuracy": "accuracy",
}


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
    SealedCheckpointIO().save_checkpoint(checkpoint, Path(ckpt_path))


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
