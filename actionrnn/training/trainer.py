"""The Trainers of this project: one that fits a run in its folder, one that only scores."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from actionrnn.errors import ActionRNNError
from actionrnn.training.callbacks import RunCSVLogger
from actionrnn.training.checkpoint import AtomicCheckpointIO, read_checkpoint
from actionrnn.training.data import ActionDataModule
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer
from actionrnn.training.settings import Settings, run_parser


class Built(NamedTuple):
    """What settings describe; `trainer` holds the settings' own callbacks and loggers."""

    trainer: dict[str, Any]
    model: ActionRecognizer
    data: ActionDataModule
    early_stopping: Callback


def build(settings: Settings) -> Built:
    """Model, data, and the arguments of the Trainer; nothing is read or written yet.

    Raises:
        ActionRNNError: naming the package that a logger of the settings needs.
        ValueError: for a value outside its range.
    """
    try:
        made = run_parser().instantiate(settings)
    except (ModuleNotFoundError, ValueError) as error:
        missing = re.search(r"Requirement '(.+?)' not met.*?`pip install -U (.+?)`", str(error))
        if missing is None:
            raise
        raise ActionRNNError(
            f"the config needs {missing[1]}, which is not installed: pip install {missing[2]}"
        ) from error
    built = Built(
        dict(made["trainer"].items()), made["model"], made["data"], made["early_stopping"]
    )
    if settings.ckpt_path:
        built.data.expects = read_checkpoint(settings.ckpt_path)[CHECKPOINT_KEY]
    return built


def fitting_trainer(built: Built, folder: Path, watchers: Sequence[Callback] = ()) -> Trainer:
    """A Trainer that logs and saves into a run folder.

    Args:
        built: see `build`.
        folder: the run's.
        watchers: callbacks besides those of the settings.
    """
    options = dict(built.trainer)
    callbacks = [*_as_list(options["callbacks"]), built.early_stopping]
    options |= {
        "callbacks": [*callbacks, *_checkpoints(folder), *watchers],
        "logger": [RunCSVLogger(folder), *_loggers(options["logger"], folder)],
        "enable_checkpointing": True,
    }
    return _trainer(options, folder)


def scoring_trainer(built: Built, folder: Path) -> Trainer:
    """A Trainer for `validate`, `test` and `predict`: it logs and saves nothing."""
    callbacks = _as_list(built.trainer["callbacks"])
    options = {"callbacks": callbacks, "logger": False, "enable_checkpointing": False}
    return _trainer({**built.trainer, **options}, folder)


def _trainer(options: dict[str, Any], folder: Path) -> Trainer:
    plugins = [*_as_list(options["plugins"]), AtomicCheckpointIO()]
    return Trainer(**{**options, "plugins": plugins, "default_root_dir": str(folder)})


def _loggers(given: Any, folder: Path) -> list[Logger]:
    if given is None or given is True:
        return [TensorBoardLogger(str(folder), name="", version="tensorboard")]
    return [] if given is False else _as_list(given)


def _checkpoints(folder: Path) -> list[ModelCheckpoint]:
    """The best epoch, and the last one (`save_last` would wait for the next best one)."""
    where: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", monitor="val/macro_accuracy", mode="max", **where)
    return [best, ModelCheckpoint(filename="last", **where)]


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
