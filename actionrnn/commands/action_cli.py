"""LightningCLI with this project's model, data and run folder."""

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, Timer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger

from actionrnn.commands.checkpoint_settings import base_settings
from actionrnn.commands.config import compose, option_value
from actionrnn.commands.parsing import usage_errors
from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.scoring import predictions_of
from actionrnn.evaluation.summary import summarise
from actionrnn.features.spec import FeatureSettings
from actionrnn.files import publish_json
from actionrnn.report.run_screens import summary_screen
from actionrnn.report.terminal import print_ranking, print_screen
from actionrnn.training.callbacks import BestFigures, EpochLines, RunCSVLogger, StopOnSignal
from actionrnn.training.checkpoint import AtomicCheckpointIO
from actionrnn.training.data import ActionDataModule, ExtractionSettings, Subset
from actionrnn.training.recognizer import ActionRecognizer
from actionrnn.training.run_folder import (
    new_run_folder,
    run_folder_of,
    write_environment,
)

TRAINER_DEFAULTS = {
    "max_epochs": 50,
    "gradient_clip_val": 1.0,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 10,
    "use_distributed_sampler": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
}
CALLBACK_DEFAULTS = {
    "early_stopping.monitor": "val/macro_accuracy",
    "early_stopping.mode": "max",
    "early_stopping.patience": 15,
}


class ActionCLI(LightningCLI):
    """LightningCLI whose runs have a folder, and whose checkpoints know their own settings.

    Args:
        callbacks: what else watches the run.
        quiet: say nothing of the run itself (one of many).
    """

    def __init__(
        self, *args: Any, callbacks: Sequence[Callback] = (), quiet: bool = False, **kwargs: Any
    ) -> None:
        self.watchers = callbacks
        self.quiet = quiet
        super().__init__(*args, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Groups besides Lightning's own: run, features, extraction, early stopping, predict."""
        parser.add_argument("--run.name", type=str, default="run", help="folder under run.root")
        parser.add_argument("--run.root", type=str, default="runs", help="where run folders go")
        parser.add_argument(
            "--run.folder", type=str | None, default=None, help="this very folder instead"
        )
        parser.add_argument(
            "--seeds",
            type=int,
            default=1,
            help="runs, one a seed: mean and spread (fit, folds, compare)",
        )
        parser.add_class_arguments(FeatureSettings, "features")
        parser.add_class_arguments(ExtractionSettings, "extraction")
        parser.link_arguments("features", "data.features", apply_on="instantiate")
        parser.link_arguments("extraction", "data.extraction", apply_on="instantiate")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults(CALLBACK_DEFAULTS)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse without looking at this process's own command line."""
        with usage_errors(self._subcommand_parsers[args[0]]):
            self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Not Lightning's: `checkpoint_settings` has laid the checkpoint under the flags."""

    def before_instantiate_classes(self) -> None:
        """Decide the run folder; nothing is written before the settings are known to be right."""
        settings = self.config[self.subcommand]
        self.ckpt_path: str | None = settings.get("ckpt_path")
        if settings["seeds"] != 1:
            raise UsageError(
                f"--seeds {settings['seeds']}: only fit, folds and compare repeat runs"
            )
        run = settings["run"]
        if run["folder"]:
            self.folder = Path(run["folder"])
            self.folder.mkdir(parents=True, exist_ok=True)
        elif self.ckpt_path:
            self.folder = run_folder_of(self.ckpt_path)
        else:
            self.folder = new_run_folder(run["root"], run["name"])

    def instantiate_classes(self) -> None:
        """Build model, data and Trainer.

        Raises:
            ActionRNNError: naming the package that a logger of the config needs.
        """
        try:
            super().instantiate_classes()
        except (ModuleNotFoundError, ValueError) as error:
            missing = re.search(r"Requirement '(.+?)' not met.*?`pip install -U (.+?)`", str(error))
            if missing is None:
                raise
            raise ActionRNNError(
                f"the config needs {missing[1]}, which is not installed: pip install {missing[2]}"
            ) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The Trainer, with this run's folder, loggers, checkpoints and signals."""
        settings = self._get(self.config_init, "trainer")
        fitting = self.subcommand == "fit"
        kwargs["logger"] = self._loggers(settings.get("logger")) if fitting else False
        kwargs["callbacks"] = list(settings.get("callbacks") or [])
        if fitting:
            self.timer, self.best = Timer(), BestFigures()
            kwargs["callbacks"] += [*self._checkpoints(), StopOnSignal(), self.timer, self.best]
            kwargs["callbacks"] += [*self.watchers, *([] if self.quiet else [EpochLines()])]
        kwargs["enable_checkpointing"] = fitting
        kwargs["plugins"] = [*_as_list(settings.get("plugins")), AtomicCheckpointIO()]
        kwargs["default_root_dir"] = str(self.folder)
        return super().instantiate_trainer(**kwargs)

    def _loggers(self, given: Any) -> list[Any]:
        loggers: list[Any] = [RunCSVLogger(self.folder)]
        if given is None or given is True:
            return [*loggers, TensorBoardLogger(str(self.folder), name="", version="tensorboard")]
        return loggers + ([] if given is False else _as_list(given))

    def _checkpoints(self) -> list[ModelCheckpoint]:
        """The best epoch, and the last one (`save_last` would wait for the next best one)."""
        where: dict[str, Any] = {
            "dirpath": self.folder / "checkpoints",
            "enable_version_counter": False,
        }
        best = ModelCheckpoint(filename="best", monitor="val/macro_accuracy", mode="max", **where)
        return [best, ModelCheckpoint(filename="last", **where)]

    def before_fit(self) -> None:
        """Write what is needed to repeat the run, and say where it goes."""
        if self.trainer.is_global_zero:
            config = self._parser("fit").dump(self.config["fit"], skip_none=False)
            (self.folder / "config.yaml").write_text(config)
            write_environment(self.folder)
            for logger in self.trainer.loggers:
                if not isinstance(logger, RunCSVLogger | TensorBoardLogger):
                    logger.log_hyperparams(yaml.safe_load(config))
            if not self.quiet:
                say(f"run folder: {self.folder}")

    def fit(self, **kwargs: Any) -> None:
        """Train; extraction of missing features comes first and is not in the seconds."""
        # Vanishing gradients end as denormal numbers, which a CPU adds up to 8 times slower.
        torch.set_flush_denormal(True)
        try:
            self.trainer.fit(**{**kwargs, "weights_only": True})
        finally:
            torch.set_flush_denormal(False)
        seconds = self.timer.time_elapsed("train")
        if not self.trainer.is_global_zero:
            return
        publish_json(self.folder / "fit.json", self._fit_figures(seconds))
        if self.quiet:
            return
        best = self.folder / "checkpoints" / "best.ckpt"
        score = self.best.figures.get("macro_accuracy", 0.0)
        say(
            f"best validation macro accuracy {score:.3f} after {seconds:.1f} s\n"
            f"next: actionrnn test --ckpt_path {best}"
        )

    def _fit_figures(self, seconds: float) -> dict[str, Any]:
        return {
            "seconds": round(seconds, 3),
            "epochs": self.trainer.current_epoch,
            "num_parameters": sum(p.numel() for p in self.model.parameters()),
            "seed": int(os.environ.get("PL_GLOBAL_SEED", 0)),
            "leaked": self.datamodule.leaked,
            "best_epoch": self.best.epoch,
            "validation": self.best.figures,
        }

    def validate(self, **kwargs: Any) -> None:
        """Score the validation clips and print the figures."""
        self._require_checkpoint()
        self.trainer.validate(**{**kwargs, "weights_only": True, "verbose": False})
        if self.trainer.is_global_zero:
            print_screen(summary_screen(summarise(self._predictions("val"))))

    def test(self, **kwargs: Any) -> None:
        """Score `data.subset`, write predictions.parquet and metrics.json, print the figures."""
        self._require_checkpoint()
        self.trainer.test(**{**kwargs, "weights_only": True, "verbose": False})
        if not self.trainer.is_global_zero:
            return
        predictions = self._predictions(self.datamodule.subset)
        summary = summarise(predictions)
        print_screen(summary_screen(summary))
        if predictions.part:
            say("nothing is written of a part: the run keeps its whole results")
            return
        predictions.save(self.folder / "predictions.parquet")
        publish_json(self.folder / "metrics.json", summary.to_dict())
        say(f"written: {self.folder / 'predictions.parquet'}, {self.folder / 'metrics.json'}")

    def predict(self, **kwargs: Any) -> None:
        """Rank the classes of every clip of `data.subset`."""
        self._require_checkpoint()
        self.trainer.predict(**{**kwargs, "weights_only": True, "return_predictions": False})
        if not self.trainer.is_global_zero:
            return
        for row in self._predictions(self.datamodule.subset).table.itertuples():
            print_ranking(str(row.path), self.model.class_names, row.probs, str(row.error))

    def _predictions(self, subset: Subset) -> Predictions:
        assert self.model.scored_logits_NVK is not None
        assert self.ckpt_path
        scores = self.model.scored_logits_NVK
        return predictions_of(self.model, self.datamodule, subset, scores, self.ckpt_path)

    def _require_checkpoint(self) -> None:
        if not self.ckpt_path:
            raise UsageError(
                f"{self.subcommand} needs a trained model: "
                f"actionrnn {self.subcommand} --ckpt_path RUN/checkpoints/best.ckpt"
            )


def run(
    verb: str, arguments: list[str], callbacks: Sequence[Callback] = (), quiet: bool = False
) -> ActionCLI:
    """One of Lightning's verbs with its words, watched by callbacks; returns what was built."""
    quiet_libraries()
    ckpt_path = option_value("--ckpt_path", arguments)
    base = base_settings(verb, ckpt_path) if ckpt_path else {}
    config, rest = compose(arguments, base)
    words = [verb, "--config", json.dumps(config), *rest] if config else [verb, *rest]
    strict = {"exit_on_error": False, "allow_abbrev": False}
    return ActionCLI(
        ActionRecognizer,
        ActionDataModule,
        args=words,
        save_config_callback=None,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        trainer_defaults=TRAINER_DEFAULTS,
        parser_kwargs={**strict, **{name: dict(strict) for name in ActionCLI.subcommands()}},
        callbacks=callbacks,
        quiet=quiet,
    )


def quiet_libraries() -> None:
    """Keep library chatter (tips, device lists) off the screen; warnings about data stay."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|jsonargparse")


def say(text: str) -> None:
    """Talk goes to stderr; results go to stdout."""
    print(text, file=sys.stderr, flush=True)


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
