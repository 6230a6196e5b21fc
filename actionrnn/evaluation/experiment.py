"""Trained and tested: what `folds`, `compare` and `demo` do over splits, seeds and heads."""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor

from actionrnn.datasets.timelines import TIMELINES_NAME
from actionrnn.errors import UsageError, lasting
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.scoring import predictions_of
from actionrnn.evaluation.summary import Summary, summarise
from actionrnn.files import publish_json, sha256_of_file
from actionrnn.launcher import was_requeued
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.training.action_data import Subset
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.data_source import expand_path
from actionrnn.training.fit import fit
from actionrnn.training.refusals import refusals
from actionrnn.training.run import FitFigures, Fitted, folder_of, is_of
from actionrnn.training.run_folder import holds_run, new_run_folder
from actionrnn.training.settings import Settings, changed
from actionrnn.training.trainer import Built, build, scoring_trainer

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


Verb = Literal["validate", "test", "predict"]


def score(verb: Verb, settings: Settings) -> Predictions:
    """Score the clips of a verb with the checkpoint of the settings; nothing is written.

    Raises:
        ActionRNNError: see `scored_part`; `UsageError` if the data are timelines.
    """
    built, subset, scores_NVK = scored_part(verb, settings)
    ckpt_path = str(settings.ckpt_path)
    scored = predictions_of(built.model, built.data, subset, scores_NVK, ckpt_path)
    origin = {"checkpoint": provenance(ckpt_path), "command": sys.argv}
    return replace(scored, about={**scored.about, **origin})


def scored_part(verb: Verb, settings: Settings) -> tuple[Built, Subset, Tensor]:
    """Model and data, the part that a verb scores, and its scores (N, V, K).

    Raises:
        ActionRNNError: see `training.settings`; `DataRejected` for clips that were trained on.
    """
    quiet_libraries()
    built = build(settings)
    how = {"ckpt_path": settings.ckpt_path, "weights_only": True}
    with refusals(settings):
        trainer = scoring_trainer(built, folder_of(settings))
        if verb == "predict":
            trainer.predict(built.model, built.data, return_predictions=False, **how)
        else:
            (trainer.validate if verb == "validate" else trainer.test)(
                built.model, built.data, verbose=False, **how
            )
    subset: Subset = "val" if verb == "validate" else built.data.subset
    scores_NVK = built.model.scored_logits_NVK
    assert scores_NVK is not None
    return built, subset, scores_NVK


def provenance(ckpt_path: str) -> dict[str, Any]:
    """Which checkpoint a result comes from: `path`, `sha256` of the file, `epoch` (from 0)."""
    path = Path(ckpt_path).resolve()
    return {
        "path": lasting(path),
        "sha256": sha256_of_file(path),
        "epoch": read_checkpoint(path)["epoch"],
    }


@dataclass(frozen=True)
class Results:
    """Figures of a checkpoint, and the files they were written to; None where they were not."""

    summary: Summary
    predictions: Path | None
    metrics: Path | None


def test_and_keep(settings: Settings) -> Results:
    """Score `data.subset`; write `predictions.parquet` and `metrics.json`.

    Results of another checkpoint than the run's best have its name in theirs
    (`metrics-last.json`), and those of a part of the clips are written only into a folder that
    was asked for.
    """
    predictions = score("test", settings)
    summary = summarise(predictions)
    if summary.part and not settings.run.folder:
        return Results(summary, None, None)
    ending = ending_of(Path(settings.ckpt_path))
    folder = folder_of(settings)
    table, metrics = folder / f"predictions{ending}.parquet", folder / f"metrics{ending}.json"
    predictions.save(table)
    origin = {key: predictions.about[key] for key in ("checkpoint", "data", "command")}
    publish_json(metrics, {**summary.to_dict(), **origin})
    return Results(summary, table, metrics)


def ending_of(ckpt_path: Path) -> str:
    """What names of a checkpoint's results end in: nothing for the best of its run, else `-last`.

    Of a run without `best.ckpt` (nothing was validated) the last one stands for it.
    """
    has_best = (ckpt_path.parent / "best.ckpt").is_file()
    chosen = "best" if has_best else "last"
    return "" if ckpt_path.stem == chosen else f"-{ckpt_path.stem}"


def fit_and_test(settings: Settings, folder: Path, quiet: bool = False) -> Tested:
    """One run in its folder, from training to the figures of its test clips.

    Raises:
        UsageError: if no checkpoint is to be saved, or only a part of the clips to be scored; and
            for timelines.
    """
    root = expand_path(settings.data.root)
    if (root / TIMELINES_NAME).is_file():
        raise UsageError(
            f"{root} holds timelines, and this averages the accuracy of clips: train and test its "
            f"splits and seeds one by one (--data.split split2, --seed_everything 1)"
        )
    trainer = settings.trainer
    if trainer.enable_checkpointing is False or trainer.fast_dev_run:
        raise UsageError(
            "runs that are tested too need their checkpoints: leave out "
            "--trainer.enable_checkpointing and --trainer.fast_dev_run"
        )
    here = changed(settings, {"run.folder": str(folder), "seeds": 1})
    fitted = fit(here, quiet=quiet)
    assert fitted.best is not None
    results = test_and_keep(changed(here, {"ckpt_path": str(fitted.best)}))
    if results.summary.part:
        raise UsageError("--trainer.limit_test_batches: runs are tested on all their clips")
    return Tested(folder, fitted.figures, fitted.best, results.summary)


def finished(settings: Settings, folder: Path) -> Tested | None:
    """What `fit_and_test` left in a folder, if these very settings did and came to an end."""
    found = Fitted.load(folder)
    if found is None or found.best is None or not (folder / "metrics.json").is_file():
        return None
    if not is_of(settings, folder):
        return None
    return Tested(folder, found.figures, found.best, summarise(Predictions.load(folder)))


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
        # What is in the folder may be replaced: `folder_of_many` has asked about that. A job that
        # Slurm has requeued goes on with what it left.
        alone = changed(
            settings, {"seed_everything": seed, "seeds": 1, "run.overwrite": not was_requeued()}
        )
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
    """Where several runs of one command go: `run.folder`, or `root/name_kind/time`.

    Raises:
        UsageError: if runs of another command are there, or all of this one's, unless they are
            to be replaced.
    """
    if not settings.run.folder:
        return new_run_folder(settings.run.root, f"{settings.run.name}_{kind}")
    folder = Path(settings.run.folder)
    if holds_run(folder) and not settings.run.overwrite and not was_requeued():
        raise UsageError(
            f"--run.folder {folder} holds a run, or several: take another folder, or replace what "
            f"is there: --run.overwrite true"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
