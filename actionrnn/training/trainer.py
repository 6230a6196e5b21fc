"""The Trainers of this project: one that fits a run in its folder, one that only scores."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, ProgressBar
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.training.checkpoint import SealedCheckpointIO, read_checkpoint
from actionrnn.training.data import ActionDataModule
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer
from actionrnn.training.refusals import refusal
from actionrnn.training.settings import Settings, run_parser


class Built(NamedTuple):
    """What settings describe; `trainer` holds the settings' own loggers, `callbacks` theirs."""

    trainer: dict[str, Any]
    callbacks: list[Callback]
    model: ActionRecognizer
    data: ActionDataModule
    early_stopping: EarlyStopping


def build(settings: Settings) -> Built:
    """Model, data, and the arguments of the Trainer; nothing is read or written yet.

    Raises:
        ActionRNNError: naming the package that a logger of the settings needs.
        ValueError: for a value outside its range.
    """
    try:
        made = run_parser().instantiate(settings)
    except (MisconfigurationException, TypeError) as error:
        raise UsageError(refusal(str(error), settings)) from error
    except (ModuleNotFoundError, ValueError) as error:
        missing = re.search(r"Requirement '(.+?)' not met.*?`pip install -U (.+?)`", str(error))
        if missing is None:
            raise
        raise ActionRNNError(
            f"the config needs {missing[1]}, which is not installed: pip install {missing[2]}"
        ) from error
    trainer = dict(made["trainer"].items())
    callbacks = _as_list(trainer["callbacks"])
    if settings.ckpt_path:
        made["data"].expects = read_checkpoint(settings.ckpt_path)[CHECKPOINT_KEY]
    return Built(trainer, callbacks, made["model"], made["data"], made["early_stopping"])


def fitting_trainer(
    built: Built, folder: Path, watchers: Sequence[Callback] = (), stops_early: bool = True
) -> Trainer:
    """A Trainer that logs and saves into a run folder.

    The settings' own callbacks join those of this project, or replace them: a progress bar its
    lines, an EarlyStopping of the same figure its own.

    Args:
        built: see `build`.
        folder: the run's.
        watchers: callbacks besides those of the settings.
        stops_early: whether the settings' early stopping is in force.

    Raises:
        UsageError: for a callback that saves, where nothing is to be saved.
    """
    options = dict(built.trainer)
    for callback in built.callbacks:
        if isinstance(callback, ModelCheckpoint):
            if options["enable_checkpointing"] is False:
                raise UsageError(
                    "--trainer.enable_checkpointing false, and a ModelCheckpoint in "
                    "--trainer.callbacks: leave one of them out"
                )
            if callback.dirpath is None:
                callback.dirpath = str(folder / "checkpoints")
    options |= {
        "callbacks": [
            *built.callbacks,
            *(_early_stopping(built) if stops_early else []),
            *watchers,
        ],
        "logger": _loggers(options["logger"], folder),
        "enable_checkpointing": True,
        "enable_progress_bar": shows_progress_bar(built),
    }
    return _trainer(options, folder)


def shows_progress_bar(built: Built) -> bool:
    """Whether the settings ask for Lightning's progress bar, by flag or by callback."""
    given = any(isinstance(each, ProgressBar) for each in built.callbacks)
    return given or bool(built.trainer["enable_progress_bar"])


def _early_stopping(built: Built) -> list[Callback]:
    """The settings' own, unless a callback of theirs watches the same, or there is nothing to."""
    ours = built.early_stopping
    same = any(
        isinstance(each, EarlyStopping) and each.state_key == ours.state_key
        for each in built.callbacks
    )
    return [] if same or built.trainer["limit_val_batches"] == 0 else [ours]


def scoring_trainer(built: Built, folder: Path) -> Trainer:
    """A Trainer for `validate`, `test` and `predict`: it logs and saves nothing."""
    bars = [each for each in built.callbacks if isinstance(each, ProgressBar)]
    options = {
        "callbacks": bars,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": shows_progress_bar(built),
    }
    return _trainer({**built.trainer, **options}, folder)


def _trainer(options: dict[str, Any], folder: Path) -> Trainer:
    plugins = _as_list(options["plugins"])
    plugins = [*plugins, *_slurm(plugins), SealedCheckpointIO()]
    return Trainer(**{**options, "plugins": plugins, "default_root_dir": str(folder)})


def _slurm(plugins: list[Any]) -> list[SLURMEnvironment]:
    """Slurm without Lightning's requeueing, which saves within an epoch and goes on at its start.

    A job that Slurm starts anew goes on from its last whole epoch, see `training.fit`.
    """
    chosen = any(isinstance(each, ClusterEnvironment) for each in plugins)
    if chosen or TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def _loggers(given: Any, folder: Path) -> list[Logger] | bool:
    if given is None or given is True:
        return [TensorBoardLogger(str(folder), name="", version="tensorboard")]
    return _as_list(given) if given else False


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
