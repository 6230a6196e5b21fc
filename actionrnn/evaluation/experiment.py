"""Trained and tested: what `folds`, `compare` and `demo` do over splits, seeds and heads."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from actionrnn.errors import UsageError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.scoring import predictions_of
from actionrnn.evaluation.summary import Summary, summarise
from actionrnn.files import publish_json
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.training.data import Subset
from actionrnn.training.fit import FitFigures, fit, folder_of
from actionrnn.training.run_folder import new_run_folder
from actionrnn.training.settings import Settings, changed
from actionrnn.training.trainer import build, scoring_trainer

FIGURES = ("accuracy", "macro_accuracy", "macro_f1", "auc")
"""The figures that are averaged over runs."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Tested:
    """A run that was fitted, and its test clips scored with its best weights.

    Attributes:
        folder: the run folder, with `predictions.parquet` and `metrics.json`.
        fitted: what training came to.
        best: its checkpoint.
        summary: the figures of its test clips.
    """

    folder: Path
    fitted: FitFigures
    best: Path
    summary: Summary


def score(verb: Literal["validate", "test", "predict"], settings: Settings) -> Predictions:
    """Score the clips of a verb with the checkpoint of the settings; nothing is written.

    Raises:
        ActionRNNError: see `training.settings`; `DataRejected` for clips that were trained on.
    """
    quiet_libraries()
    built = build(settings)
    trainer = scoring_trainer(built, folder_of(settings))
    how = {"ckpt_path": settings.ckpt_path, "weights_only": True}
    if verb == "predict":
        trainer.predict(built.model, built.data, return_predictions=False, **how)
    else:
        (trainer.validate if verb == "validate" else trainer.test)(
            built.model, built.data, verbose=False, **how
        )
    subset: Subset = "val" if verb == "validate" else built.data.subset
    scores_NVK = built.model.scored_logits_NVK
    assert scores_NVK is not None
    assert settings.ckpt_path
    return predictions_of(built.model, built.data, subset, scores_NVK, settings.ckpt_path)


def test_and_keep(settings: Settings) -> Summary:
    """Score `data.subset`; write `predictions.parquet` and `metrics.json`, unless of a part."""
    predictions = score("test", settings)
    summary = summarise(predictions)
    if not summary.part:
        folder = folder_of(settings)
        predictions.save(folder / "predictions.parquet")
        publish_json(folder / "metrics.json", summary.to_dict())
    return summary


def fit_and_test(settings: Settings, folder: Path, quiet: bool = False) -> Tested:
    """One run in its folder, from training to the figures of its test clips."""
    here = changed(settings, {"run.folder": str(folder), "seeds": 1})
    fitted = fit(here, quiet=quiet)
    summary = test_and_keep(changed(here, {"ckpt_path": str(fitted.best)}))
    return Tested(folder, fitted.figures, fitted.best, summary)


def over_seeds(
    settings: Settings, folder: Path, one: Callable[[Settings, Path], Result]
) -> list[Result]:
    """Do one thing for every seed of the settings, in sub-folders where there are several.

    Args:
        settings: `seeds` says how many, `seed_everything` is the first.
        folder: of one seed; of several its sub-folders `seed0`, `seed1`, ...
        one: gets the settings with their seed, and the folder.
    """
    wanted = seeds_of(settings)
    found = []
    for seed in wanted:
        alone = changed(settings, {"seed_everything": seed, "seeds": 1})
        if len(wanted) > 1:
            tell(f"seed {seed}")
        found.append(one(alone, folder if len(wanted) == 1 else folder / f"seed{seed}"))
    return found


def seeds_of(settings: Settings) -> list[int]:
    """The seeds of a command.

    Raises:
        UsageError: if `seeds` is below 1.
    """
    if settings.seeds < 1:
        raise UsageError(f"--seeds {settings.seeds}: must be a whole number from 1 on")
    return list(range(settings.seed_everything, settings.seed_everything + settings.seeds))


def folder_of_many(settings: Settings, kind: str) -> Path:
    """Where several runs of one command go: `run.folder`, or `root/name_kind/time`."""
    if settings.run.folder:
        return folder_of(settings)
    return new_run_folder(settings.run.root, f"{settings.run.name}_{kind}")


def shown(row: dict[str, Any]) -> dict[str, float]:
    """The figures of a run that are averaged."""
    return {key: row[key] for key in FIGURES if row.get(key) is not None}


def spread(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and sample standard deviation (None of one) of every figure that all rows have."""
    keys = [key for key in FIGURES if all(row.get(key) is not None for row in rows)]
    values = {key: [float(row[key]) for row in rows] for key in keys}
    return {
        "mean": {key: statistics.fmean(values[key]) for key in keys},
        "sd": {key: statistics.stdev(values[key]) if len(rows) > 1 else None for key in keys},
    }
