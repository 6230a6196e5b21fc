"""The one way to train: settings in, a run folder and its figures out.

A run that is refitted is trained twice: without the validation clips (or in inner folds), which
gives its validation figures and the number of epochs, in `RUN/choosing`; then with them, for so
many epochs, in `RUN`.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pytorch_lightning.callbacks import Callback

from actionrnn.errors import Interrupted, UsageError
from actionrnn.files import publish_json
from actionrnn.launcher import was_requeued
from actionrnn.progress import tell
from actionrnn.training.callbacks import rank, read_rows
from actionrnn.training.inner import inner_settings
from actionrnn.training.run import Fitted, is_of, refuse_finished, train
from actionrnn.training.run_folder import (
    CHOOSING,
    is_first_process,
    new_run_folder,
    newest_checkpoint,
)
from actionrnn.training.selection import which_kept
from actionrnn.training.settings import Settings, changed

CHOICE = "choice.json"


@dataclass(frozen=True)
class Choice:
    """What the runs without the validation clips came to; `choosing/choice.json`.

    Attributes:
        epochs: to train for.
        kept: by which rule; see `training.selection`.
        validation: `val/` figures of that epoch by name, over all clips that validated.
        num_val_clips: how many these were.
        seconds: of training.
    """

    epochs: int
    kept: str
    validation: dict[str, float]
    num_val_clips: int
    seconds: float


def fit(settings: Settings, callbacks: Sequence[Callback] = (), quiet: bool = False) -> Fitted:
    """Train one run, or go on with the one that `settings.ckpt_path` names.

    Args:
        settings: see `training.settings` and `training.run.train`. With `refit` or `inner` a
            broken-off run goes on, choice and all, with the same settings and `run.folder`; in a
            job that Slurm has requeued, any run does.
        callbacks, quiet: see `train`; of those that choose the number of epochs too.

    Raises:
        ActionRNNError: see `train`.
        Interrupted: after Ctrl-C, saying what is kept.
    """
    if settings.inner < 0 or settings.inner == 1:
        raise UsageError(f"--inner {settings.inner}: 0 for none, or 2 folds and more")
    if (settings.refit or settings.inner) and not settings.ckpt_path:
        settings = _chosen(settings, callbacks, quiet)
    goes_on = was_requeued() and settings.run.folder and not settings.ckpt_path
    run = _run_once if goes_on else train
    return _with_choice(run(settings, callbacks, quiet))


def _chosen(settings: Settings, callbacks: Sequence[Callback], quiet: bool) -> Settings:
    """Settings of the refit, after its number of epochs was found."""
    trainer = settings.trainer
    if trainer.fast_dev_run or trainer.enable_checkpointing is False:
        raise UsageError(
            "--refit and --inner train whole runs and keep them: leave out --trainer.fast_dev_run "
            "and --trainer.enable_checkpointing"
        )
    if not settings.run.folder:
        made = new_run_folder(settings.run.root, settings.run.name)
        settings = changed(settings, {"run.folder": str(made)})
    if not was_requeued():
        refuse_finished(settings)
    folder = Path(settings.run.folder)
    plain = changed(settings, {"refit": False, "inner": 0})
    kept = f"what was finished is kept; go on: the same command with --run.folder {folder}"
    try:
        choice = _choice(settings.inner, plain, folder / CHOOSING, callbacks, quiet)
    except Interrupted as stop:
        raise Interrupted(f"interrupted while the number of epochs is chosen; {kept}") from stop
    if is_first_process():
        publish_json(folder / CHOOSING / CHOICE, asdict(choice))
    if not quiet:
        tell(
            f"{choice.num_val_clips} validation clips: macro accuracy "
            f"{choice.validation.get('macro_accuracy', 0.0):.3f} after {choice.epochs} epochs "
            f"({choice.kept}); now trained with them too"
        )
    refit = {"data.val_as_train": True, "trainer.limit_val_batches": 0, "keep": "last"}
    length = {"trainer.max_epochs": choice.epochs, "trainer.max_steps": -1}
    return changed(plain, {**refit, **(length if choice.kept == "best" else {})})


def _choice(
    inner: int, plain: Settings, folder: Path, callbacks: Sequence[Callback], quiet: bool
) -> Choice:
    """Train without the validation clips, or in inner folds, and see how long it pays."""
    if not inner:
        found = _run_once(changed(plain, {"run.folder": str(folder)}), callbacks, quiet).figures
        epochs = found.epochs if found.kept == "last" else (found.best_epoch or 0) + 1
        return Choice(epochs, found.kept, found.validation, found.num_val_clips, found.seconds)
    runs = []
    for number, alone in enumerate(inner_settings(plain, folder, inner), start=1):
        if not quiet:
            tell(f"inner fold {number} of {inner}")
        here = changed(alone, {"run.folder": str(folder / f"inner{number}")})
        runs.append(_run_once(here, callbacks, quiet=True))
    clips = [run.figures.num_val_clips for run in runs]
    curve = _pooled([run.folder for run in runs], clips)
    if not curve:
        raise UsageError("--inner: no epoch was validated in every fold; train for more epochs")
    kept = which_kept(plain.keep, sum(clips))
    last = max(curve)
    best = last if kept == "last" else max(curve, key=lambda epoch: (*rank(curve[epoch]), epoch))
    seconds = sum(run.figures.seconds for run in runs)
    return Choice(best + 1, kept, curve[best], sum(clips), round(seconds, 3))


def _run_once(settings: Settings, callbacks: Sequence[Callback], quiet: bool) -> Fitted:
    """A run that may have been finished, or begun, before the command was broken off."""
    folder = Path(settings.run.folder)
    if (folder / "config.yaml").is_file() and not settings.run.overwrite:
        if not is_of(settings, folder):
            raise UsageError(
                f"{folder} is of other settings: take another --run.folder, or replace what is "
                f"there: --run.overwrite true"
            )
        if found := Fitted.load(folder):
            return found
        if begun := newest_checkpoint(folder):
            settings = changed(settings, {"ckpt_path": str(begun)})
    return train(settings, callbacks, quiet)


def _pooled(folders: Sequence[Path], num_clips: Sequence[int]) -> dict[int, dict[str, float]]:
    """`val/` figures of the epochs that every run validated: means, weighed by clips."""
    tables = [
        {int(row["epoch"]): row for row in read_rows(folder / "metrics.csv")[1] if row["val/loss"]}
        for folder in folders
    ]
    pooled = {}
    for epoch in sorted(set.intersection(*map(set, tables))):
        rows = [table[epoch] for table in tables]
        names = [name for name in rows[0] if name.startswith("val/") and all(r[name] for r in rows)]
        pooled[epoch] = {
            name.removeprefix("val/"): statistics.fmean(
                [float(row[name]) for row in rows], weights=num_clips
            )
            for name in names
            if not name.startswith("val/num_")
        }
    return pooled


def _with_choice(fitted: Fitted) -> Fitted:
    """The run with the validation figures of those that chose its epochs, if there are any."""
    file = fitted.folder / CHOOSING / CHOICE
    if not fitted.figures.refit or not file.is_file():
        return fitted
    choice = Choice(**json.loads(file.read_text()))
    figures = replace(
        fitted.figures,
        best_epoch=choice.epochs - 1,
        validation=choice.validation,
        num_val_clips=choice.num_val_clips,
        seconds=round(fitted.figures.seconds + choice.seconds, 3),
    )
    if is_first_process():
        publish_json(fitted.folder / "fit.json", asdict(figures))
    return Fitted(fitted.folder, figures)
