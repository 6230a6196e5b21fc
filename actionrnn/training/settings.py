"""Every setting of a run, parsed once: a namespace that is copied and changed by key.

Keys are those of the command line (`model.cell`, `trainer.max_epochs`), read by Lightning's own
parser. A recipe is the same as plain data, without what belongs to one run alone.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Literal

import torch
import yaml
from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.cli import LightningArgumentParser

from actionrnn.errors import UsageError, condensed, known_settings, near_miss, usage_errors
from actionrnn.features.spec import FeatureSettings
from actionrnn.places import refuse_remote
from actionrnn.training.data import ActionDataModule
from actionrnn.training.data_source import ExtractionSettings
from actionrnn.training.recognizer import ActionRecognizer

Settings = Namespace

DEFAULTS = {
    "trainer.max_epochs": 50,
    "trainer.gradient_clip_val": 1.0,
    "trainer.num_sanity_val_steps": 0,
    "trainer.log_every_n_steps": 10,
    "trainer.use_distributed_sampler": False,
    "trainer.enable_model_summary": False,
    "trainer.enable_progress_bar": False,
    "early_stopping.monitor": "val/macro_accuracy",
    "early_stopping.mode": "max",
    "early_stopping.patience": 15,
    # Where there is a figure to look at; at the end of an epoch there may be none.
    "early_stopping.check_on_train_epoch_end": False,
}
"""Where this project differs from Lightning."""
OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "ckpt_path": (str | None, None, "a checkpoint"),
    "seed_everything": (int, 0, "seed of all randomness"),
    "seeds": (int, 1, "runs, one a seed: mean and spread (fit, folds, compare)"),
    "keep": (
        Literal["auto", "best", "last"],
        "auto",
        "which epoch counts: the best on validation clips, the last, or auto: the last where "
        "they are too few to choose by",
    ),
    "refit": (
        bool | None,
        None,
        "then train anew on training and validation clips, for the epochs found; null: folds "
        "does, fit does not",
    ),
    "inner": (
        int,
        0,
        "find them by so many inner folds, by group, of training and validation clips "
        "(and refit); 0: by the validation clips",
    ),
    "run.name": (str, "run", "folder under run.root"),
    "run.root": (str, "runs", "where run folders go"),
    "run.folder": (str | None, None, "this very folder instead"),
    "run.overwrite": (bool, False, "replace the run in run.folder"),
}
"""Settings of a run as a whole: type, usual value, and what they mean."""
LIMITS = {f"limit_{part}_batches" for part in ("train", "val", "test", "predict")}
"""Declared here, for typing keeps one order of a union for a process: where another library has
said "float or int" first, Lightning's "int or float" would read 1 as all batches."""


@cache
def run_parser() -> LightningArgumentParser:
    """The parser of `fit`, `validate`, `test` and `predict`; building it takes a second."""
    parser = LightningArgumentParser(
        prog="actionrnn", description="", exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("-c", "--config", action="config", help="YAML files of settings")
    for name, (kind, default, words) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=words)
    parser.add_class_arguments(
        Trainer, "trainer", instantiate=False, fail_untyped=False, sub_configs=True, skip=LIMITS
    )
    for name in sorted(LIMITS):
        parser.add_argument(
            f"--trainer.{name}",
            type=int | float | None,
            default=None,
            help="how many, or which share, of the batches (1 is one, 1.0 is all)",
        )
    parser.add_lightning_class_args(ActionRecognizer, "model")
    parser.add_lightning_class_args(ActionDataModule, "data")
    parser.add_class_arguments(FeatureSettings, "features")
    parser.add_class_arguments(ExtractionSettings, "extraction")
    parser.link_arguments("features", "data.features", apply_on="instantiate")
    parser.link_arguments("extraction", "data.extraction", apply_on="instantiate")
    parser.add_lightning_class_args(EarlyStopping, "early_stopping")
    parser.set_defaults(DEFAULTS)
    return parser


def parsed(config: Mapping[str, Any], words: Sequence[str] = ()) -> Settings:
    """Settings from a config, with single settings, as words of a command line, on top.

    Raises:
        UsageError: naming the key, the value, what is allowed and what was perhaps meant.
    """
    parser = run_parser()
    with usage_errors(parser):
        settings = parser.parse_args(["--config", json.dumps(config), *words])
    settings.pop("config", None)
    for name in ("root", "folder"):  # the command line has put a copy's folder in its place
        refuse_remote(f"run.{name}", settings.run[name], "in a config or in Python run folders lie")
    return settings


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """A copy with some settings changed by key: `changed(settings, {"data.split": "split2"})`.

    Raises:
        UsageError: for a key that does not exist, or a value that it cannot have.
    """
    copy = settings.clone()
    for key, value in changes.items():
        if key not in copy:
            raise UsageError(
                f"there is no setting --{key}{near_miss(key, known_settings(run_parser()))}"
            )
        copy[key] = value
    parser = run_parser()
    with usage_errors(parser):
        result: Settings = parser.parse_object(copy.as_dict())
    return result


def recipe_of(settings: Settings) -> dict[str, Any]:
    """The settings as plain data, without what belongs to one run: checkpoint, folder, seeds.

    Raises:
        UsageError: for a setting (an object in a callback) that no file can hold.
    """
    copy = settings.clone()
    copy.trainer.callbacks = _plain(copy.trainer.callbacks)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            text = run_parser().dump(copy, skip_unset=False)
    except ValueError as error:
        raise UsageError(
            "the settings cannot be written to config.yaml, so the run could not be repeated: "
            f"{condensed(str(error))}"
        ) from error
    for warning in caught:
        if "Unable to serialize" in str(warning.message):
            raise UsageError(
                f"the settings cannot be written to config.yaml, so the run could not be "
                f"repeated: {condensed(str(warning.message))}; look at --trainer.callbacks, "
                f"--trainer.logger and --trainer.plugins"
            )
    plain: dict[str, Any] = yaml.safe_load(text)
    plain["run"] = {"name": plain["run"]["name"], "root": plain["run"]["root"]}
    del plain["ckpt_path"], plain["seeds"]
    return plain


def _plain(value: Any) -> Any:
    """The same without what Lightning's own defaults hold and YAML cannot: enums, devices."""
    if isinstance(value, Namespace):
        copy = value.clone()
        for key, each in vars(value).items():
            setattr(copy, key, _plain(each))
        return copy
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, torch.device) else value
