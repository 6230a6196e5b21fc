"""The one way to train: settings in, a run folder and its figures out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import yaml
from pytorch_lightning import seed_everything
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.loggers import TensorBoardLogger

from actionrnn.errors import UsageError
from actionrnn.files import publish_json, publish_text
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.training.callbacks import BestFigures, EpochLines, RunCSVLogger, StopOnSignal
from actionrnn.training.run_folder import new_run_folder, run_folder_of, write_environment
from actionrnn.training.settings import Settings, recipe_of
from actionrnn.training.trainer import build, fitting_trainer


@dataclass(frozen=True)
class FitFigures:
    """What a training run came to; `fit.json`.

    Attributes:
        seconds: of training alone; extraction of missing features comes before.
        epochs: finished.
        num_parameters: of the head.
        seed: of all randomness.
        leaked: the split shares recordings between its parts.
        best_epoch: from 0; None where nothing was validated.
        validation: the `val/` figures of that epoch by name.
    """

    seconds: float
    epochs: int
    num_parameters: int
    seed: int
    leaked: bool
    best_epoch: int | None
    validation: dict[str, float]


@dataclass(frozen=True)
class Fitted:
    """A run folder and its figures."""

    folder: Path
    figures: FitFigures

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch on validation clips."""
        return self.folder / "checkpoints" / "best.ckpt"


def fit(settings: Settings, callbacks: Sequence[Callback] = (), quiet: bool = False) -> Fitted:
    """Train one run, or go on with the one that `settings.ckpt_path` names.

    Args:
        settings: see `training.settings`; `run.folder` is where it goes, or a new folder below
            `run.root`, or for a resumed run the folder of its checkpoint.
        callbacks: what else watches the run.
        quiet: say nothing of it (one of many).

    Raises:
        ActionRNNError: for settings, data or a checkpoint that cannot be used, and for a loss that
            is no number.
    """
    quiet_libraries()
    if settings.seeds != 1:
        raise UsageError(f"--seeds {settings.seeds}: only fit, folds and compare repeat runs")
    # Said to nobody: the number is in fit.json and in every checkpoint.
    seed_everything(settings.seed_everything, workers=True, verbose=False)
    built = build(settings)
    folder = folder_of(settings)
    built.model.recipe = recipe_of(settings)
    timer, best = Timer(), BestFigures()
    watchers = [StopOnSignal(), timer, best, *callbacks, *([] if quiet else [EpochLines()])]
    trainer = fitting_trainer(built, folder, watchers)
    if trainer.is_global_zero:
        publish_text(folder / "config.yaml", yaml.safe_dump(built.model.recipe, sort_keys=False))
        write_environment(folder)
        for logger in trainer.loggers:
            if not isinstance(logger, RunCSVLogger | TensorBoardLogger):
                logger.log_hyperparams(built.model.recipe)
        if not quiet:
            tell(f"run folder: {folder}")
    # Vanishing gradients end as denormal numbers, which a CPU adds up to 8 times slower.
    torch.set_flush_denormal(True)
    try:
        trainer.fit(built.model, built.data, ckpt_path=settings.ckpt_path, weights_only=True)
    finally:
        torch.set_flush_denormal(False)
    figures = FitFigures(
        seconds=round(timer.time_elapsed("train"), 3),
        epochs=trainer.current_epoch,
        num_parameters=sum(p.numel() for p in built.model.parameters()),
        seed=settings.seed_everything,
        leaked=built.data.leaked,
        best_epoch=best.epoch,
        validation=best.figures,
    )
    if trainer.is_global_zero:
        publish_json(folder / "fit.json", asdict(figures))
    return Fitted(folder, figures)


def folder_of(settings: Settings) -> Path:
    """Where a run goes; made if it is not there."""
    if settings.run.folder:
        folder = Path(settings.run.folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if settings.ckpt_path:
        return run_folder_of(settings.ckpt_path)
    return new_run_folder(settings.run.root, settings.run.name)
