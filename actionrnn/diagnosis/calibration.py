"""How far a run's probabilities can be believed, and what a temperature would change."""

import os
from dataclasses import dataclass
from pathlib import Path

from actionrnn.evaluation.calibration import (
    Bin,
    CalibrationFigures,
    calibration_figures,
    fit_temperature,
    reliability,
)
from actionrnn.evaluation.figures import GroupedScores, mean_figures
from actionrnn.evaluation.intervals import Interval, group_ids
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.action_data import Subset
from actionrnn.training.checkpoint import SealedCheckpointIO, read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY, clip_logits


@dataclass(frozen=True)
class CalibrationDiagnosis:
    """Reliability of a part of the split, and what a temperature would change.

    Attributes:
        subset, num_clips, num_unreadable, num_groups: what was looked at; clips that could not
            be read have no confidence, and are wrong in `accuracy`.
        temperature: the stored one.
        figures, bins: with it.
        ece_interval: over groups; None where they are too few, and `no_interval` says so.
        best_temperature: fitted on validation clips; None if they do not determine one, and then
            the stored one is used in `figures_then`, `bins_then`.
        verdict: all that in words.
    """

    subset: str
    num_clips: int
    num_unreadable: int
    num_groups: int
    temperature: float
    figures: CalibrationFigures
    ece_interval: Interval | None
    no_interval: str
    bins: list[Bin]
    best_temperature: float | None
    figures_then: CalibrationFigures
    bins_then: list[Bin]
    verdict: str


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


def diagnose_calibration(run: TrainedModel, subset: Subset = "test") -> CalibrationDiagnosis:
    """Judge the probabilities of a part of the split.

    Raises:
        ActionRNNError: if none of its clips could be read.
    """
    stored = run.recognizer.temperature
    raw_NK, target_N = clip_logits(run.score(subset).double()), run.targets(subset)
    best = fit_temperature(clip_logits(run.score("val").double()), run.targets("val"))
    now_NK, then_NK = raw_NK / stored, raw_NK / (best or stored)
    now, then = calibration_figures(now_NK, target_N), calibration_figures(then_NK, target_N)
    scores = GroupedScores.of(
        now_NK[:, None], target_N, group_ids(run.data.part(subset).table), logits_NK=now_NK
    )
    ece = mean_figures([scores], len(target_N))["ece"]
    return CalibrationDiagnosis(
        subset=subset,
        num_clips=len(target_N),
        num_unreadable=int(raw_NK.isnan().any(dim=1).sum()),
        num_groups=scores.num_groups,
        temperature=stored,
        figures=now,
        ece_interval=ece.interval,
        no_interval=ece.missing,
        bins=reliability(now_NK, target_N),
        best_temperature=best,
        figures_then=then,
        bins_then=reliability(then_NK, target_N),
        verdict=_verdict(now, then, best),
    )


def _verdict(now: CalibrationFigures, then: CalibrationFigures, best: float | None) -> str:
    gap = now.confidence - now.readable_accuracy
    side = "over" if gap > 0 else "under"
    said = (
        f"mean confidence is {now.confidence:.3f} where {now.readable_accuracy:.3f} is right "
        f"({side}confident by {abs(gap):.3f}); calibration error {now.ece:.3f}"
    )
    if best is None:
        said += "; the validation clips do not determine a better temperature"
    elif then.loss < now.loss and then.ece < now.ece - 0.005:
        said += (
            f". `actionrnn calibrate` would store temperature {best:.2f} and bring it to "
            f"{then.ece:.3f}"
        )
    return said
