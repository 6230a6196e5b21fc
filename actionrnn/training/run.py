"""One run: settings in, a folder with checkpoints and figures out."""

import gc
import json
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning import seed_everything
from pytorch_lightning.callbacks import Callback, LearningRateFinder
from pytorch_lightning.loggers import TensorBoardLogger

from actionrnn.errors import Interrupted, UsageError, lasting
from actionrnn.files import publish_json, publish_text, safe_yaml
from actionrnn.process import listening, quiet_libraries
from actionrnn.progress import tell
from actionrnn.training.callbacks import (
    EpochLines,
    EpochRows,
    KeepCheckpoints,
    RunStart,
    StopOnSignal,
    keep_rows_before,
)
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.refusals import check_limits, refusals
from actionrnn.training.resume import check_resume, require_whole
from actionrnn.training.run_folder import (
    StartedFolder,
    holds_run,
    is_first_process,
    new_run_folder,
    newest_checkpoint,
    run_folder_of,
    write_environment,
)
from actionrnn.training.selection import stops_early, which_kept
from actionrnn.training.settings import Settings, recipe_of
from actionrnn.training.trainer import Built, build, fitting_trainer, shows_progress_bar


@dataclass(frozen=True)
class FitFigures:
    """What a training run came to; `fit.json`.

    Attributes:
        seconds: of training alone; extraction of missing features comes before.
        epochs: finished.
        num_parameters: of the head.
        seed: of all randomness.
        leaked: the split shares recordings between its parts.
        kept: which epoch's weights count, see `training.selection`.
        best_epoch: its number, from 0; None where nothing was validated.
        validation: the `val/` figures of that epoch by name; of a model that was trained on the
            validation clips too, those of the runs that chose its epochs without them.
        num_val_clips: what they were measured on.
        refit: trained on training and validation clips.
    """

    seconds: float
    epochs: int
    num_parameters: int
    seed: int
    leaked: bool
    kept: Literal["best", "last"]
    best_epoch: int | None
    validation: dict[str, float]
    num_val_clips: int
    refit: bool


@dataclass(frozen=True)
class Fitted:
    """A run folder and its figures."""

    folder: Path
    figures: FitFigures

    @classmethod
    def load(cls, folder: Path) -> "Fitted | None":
        """The run that came to its end in a folder; None if none did."""
        file = folder / "fit.json"
        if not file.is_file():
            return None
        return cls(folder, FitFigures(**json.loads(file.read_text())))

    @property
    def best(self) -> Path | None:
        """The checkpoint of the epoch that counts; of a run without validation the last one.

        None where none was to be saved.
        """
        files = (self.folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
        return next((file for file in files if file.is_file()), None)


def is_of(settings: Settings, folder: Path) -> bool:
    """Whether a folder's run is of these very settings (what training adds to them aside)."""
    file = folder / "config.yaml"
    if not file.is_file():
        return False
    wanted = safe_yaml(_as_written(recipe_of(settings)))
    return _asked(safe_yaml(file.read_text())) == _asked(wanted)


def _as_written(recipe: dict[str, Any]) -> str:
    return lasting(yaml.safe_dump(recipe, sort_keys=False))


def _asked(recipe: dict[str, Any]) -> dict[str, Any]:
    return {**recipe, "model": {**recipe["model"], "schedule_phases": None}}


def train(settings: Settings, callbacks: Sequence[Callback] = (), quiet: bool = False) -> Fitted:
    """Train one run as it is, or go on with the one that `settings.ckpt_path` names.

    Nothing is written before settings, data and checkpoint have been accepted; of a run that ends
    before its first checkpoint nothing is left.

    Args:
        settings: see `training.settings`; `run.folder` is where it goes, or a new folder below
            `run.root`; a resumed run goes on in the folder of its checkpoint.
        callbacks: what else watches the run.
        quiet: say nothing of it (one of many).

    Raises:
        ActionRNNError: for settings, data or a checkpoint that cannot be used, and for a loss that
            is no number.
        Interrupted: after Ctrl-C, saying what is kept.
    """
    quiet_libraries()
    # Trainer, module and data of an earlier run refer to each other: its features would stay.
    gc.collect()
    if settings.seeds != 1:
        raise UsageError(f"--seeds {settings.seeds}: only fit, folds and compare repeat runs")
    check_limits(settings)
    if settings.model.members != 1:
        raise UsageError("--model.members is not trained: --seeds N trains N runs and joins them")
    checkpoint = _checkpoint_of(settings)
    # Said to nobody: the number is in fit.json and in every checkpoint.
    seed_everything(settings.seed_everything, workers=True, verbose=False)
    built = build(settings)
    built.model.recipe = recipe_of(settings)
    if checkpoint:  # a learning rate was searched when the run began, and is in it
        others = [each for each in built.callbacks if not isinstance(each, LearningRateFinder)]
        built = built._replace(callbacks=others)
    refuse_finished(settings)
    with _folder_for(settings) as started:
        return _train(settings, built, started, callbacks, quiet, checkpoint)


def _checkpoint_of(settings: Settings) -> dict[str, Any] | None:
    """What a resumed run goes on with, checked; None for a new one."""
    if not settings.ckpt_path:
        return None
    checkpoint = read_checkpoint(settings.ckpt_path)
    require_whole(checkpoint, settings.ckpt_path)
    check_resume(settings, checkpoint)
    return checkpoint


def refuse_finished(settings: Settings) -> None:
    """Refuse to write a new run over another.

    Raises:
        UsageError: saying how to go on with it, or replace it.
    """
    if not settings.run.folder or settings.run.overwrite or settings.ckpt_path:
        return
    if is_first_process() and holds_run(Path(settings.run.folder)):
        newest = newest_checkpoint(Path(settings.run.folder))
        raise UsageError(
            f"--run.folder {settings.run.folder} holds a run. "
            + (f"Go on with it: --ckpt_path {newest}; or replace" if newest else "Replace")
            + " it: --run.overwrite true; or take another folder"
        )


def folder_of(settings: Settings) -> Path:
    """The folder of the run that a checkpoint belongs to, or where `run.folder` says."""
    if settings.run.folder:
        return Path(settings.run.folder)
    return run_folder_of(settings.ckpt_path)


@contextmanager
def _folder_for(settings: Settings) -> Iterator[StartedFolder | Path]:
    """The run's folder, locked by the first process of a run.

    Others only know its path, and so does a run that leaves nothing (`fast_dev_run`).
    """
    if settings.trainer.fast_dev_run:
        yield Path(settings.run.root, settings.run.name, "fast_dev_run")
        return
    if settings.run.folder or settings.ckpt_path:
        folder = folder_of(settings)
    else:
        folder = new_run_folder(settings.run.root, settings.run.name)
    if not is_first_process():
        yield folder
        return
    started = StartedFolder(folder)
    try:
        yield started
    except BaseException:
        if settings.trainer.enable_checkpointing is not False and not holds_run(folder):
            started.undo()
        raise
    finally:
        started.release()


def _train(
    settings: Settings,
    built: Built,
    started: StartedFolder | Path,
    callbacks: Sequence[Callback],
    quiet: bool,
    checkpoint: dict[str, Any] | None,
) -> Fitted:
    folder = started.folder if isinstance(started, StartedFolder) else started
    saves = settings.trainer.enable_checkpointing is not False
    validates = built.trainer["limit_val_batches"] != 0
    num_val_clips = len(built.data.part("val").table) if validates else 0
    kept = which_kept(settings.keep, num_val_clips)
    keep = KeepCheckpoints(folder / "checkpoints" if saves else None, kept)
    start = RunStart(lambda trainer: _begin(trainer, built, started, checkpoint, quiet))
    stop = StopOnSignal()
    watchers: list[Callback] = [stop, *callbacks]
    if not settings.trainer.fast_dev_run:
        watchers += [EpochRows(folder / "metrics.csv"), keep]
    if not quiet and not shows_progress_bar(built):
        watchers.append(EpochLines())
    with refusals(settings):
        trainer = fitting_trainer(built, folder, watchers, stops_early(settings, kept))
    trainer.callbacks.insert(0, start)  # type: ignore[attr-defined]
    # Vanishing gradients end as denormal numbers, which a CPU adds up to 8 times slower.
    torch.set_flush_denormal(True)
    try:
        with refusals(settings), listening(signal.SIGTERM, stop.note):
            trainer.fit(built.model, built.data, ckpt_path=settings.ckpt_path, weights_only=True)
    except KeyboardInterrupt as error:
        raise Interrupted(_interrupted(folder)) from error
    finally:
        torch.set_flush_denormal(False)
        if isinstance(started, StartedFolder) and not start.was_reached:
            started.undo()
    if saves and not settings.trainer.fast_dev_run and not any((folder / "checkpoints").glob("*")):
        raise UsageError(
            f"no step was taken, so there is no model: --trainer.max_time "
            f"{settings.trainer.max_time} is too short"
        )
    figures = FitFigures(
        seconds=round(keep.seconds, 3),
        epochs=trainer.current_epoch,
        num_parameters=sum(p.numel() for p in built.model.parameters()),
        seed=settings.seed_everything,
        leaked=built.data.leaked,
        kept=kept,
        best_epoch=keep.epoch,
        validation=keep.figures,
        num_val_clips=num_val_clips,
        refit=built.data.val_as_train,
    )
    if isinstance(started, StartedFolder):
        publish_json(folder / "fit.json", asdict(figures))
    return Fitted(folder, figures)


def _begin(
    trainer: pl.Trainer,
    built: Built,
    started: StartedFolder | Path,
    checkpoint: dict[str, Any] | None,
    quiet: bool,
) -> None:
    """Write what a run begins with; everything has been accepted."""
    recipe = built.model.recipe
    recipe["model"]["schedule_phases"] = built.model.schedule_phases or None
    if not isinstance(started, StartedFolder):
        return
    folder = started.folder
    if checkpoint is None:
        started.clear()
    else:
        keep_rows_before(folder / "metrics.csv", checkpoint["epoch"] + 1)
        (folder / "fit.json").unlink(missing_ok=True)
        built.early_stopping.patience = recipe["early_stopping"]["patience"]
    started.remove_leftovers()
    publish_text(folder / "config.yaml", _as_written(recipe))
    write_environment(folder)
    for logger in trainer.loggers:
        if not isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(recipe)
    if not quiet:
        tell(f"run folder: {folder}")


def _interrupted(folder: Path) -> str:
    last = newest_checkpoint(folder)
    if last is None:
        return "interrupted before the first epoch was over; nothing is kept, nothing was changed"
    return (
        f"interrupted; every whole epoch is kept in {last}\n"
        f"go on: actionrnn fit --ckpt_path {shlex.quote(str(last))}"
    )
