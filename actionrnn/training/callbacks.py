"""What watches a run: its folder, its logs, a calm line per epoch, and signals."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from actionrnn.training.gradient_health import GradientHealth

__all__ = ["BestFigures", "EpochLines", "GradientHealth", "RunCSVLogger", "StopOnSignal"]


class _AppendingWriter(ExperimentWriter):
    """Keeps the rows of the run that is being resumed; writes no second copy of the settings."""

    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.is_file():
            header = file.read_text().partition("\n")[0].strip()
            self.metrics_keys = header.split(",") if header else []

    def log_hparams(self, params: dict[str, Any]) -> None:
        return None


class RunCSVLogger(CSVLogger):
    """`metrics.csv` straight in the run folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=str(folder), name="", version="")

    @property
    def experiment(self) -> ExperimentWriter:
        """The writer, made by the first process only when something is logged."""
        if self._experiment is None:
            self._experiment = _AppendingWriter(log_dir=self.log_dir)
        assert isinstance(self._experiment, ExperimentWriter)
        return self._experiment


class BestFigures(Callback):
    """The validation figures of the best epoch (the first of equals), as in `best.ckpt`.

    Attributes:
        figures: every `val/` figure of that epoch by name; empty before the first validation.
        epoch: its number, from 0.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.epoch: int | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch's figures if they are the best so far."""
        found = {
            key.removeprefix("val/"): float(value)
            for key, value in trainer.callback_metrics.items()
            if key.startswith("val/")
        }
        best = self.figures.get("macro_accuracy", -1.0)
        if found.get("macro_accuracy", -1.0) > best:
            self.figures, self.epoch = found, trainer.current_epoch

    def state_dict(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        return {"figures": self.figures, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the resumed run was."""
        self.figures, self.epoch = state_dict["figures"], state_dict["epoch"]


class EpochLines(Callback):
    """About ten plain lines a run, instead of a progress bar that scrolls in a log file."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print losses and accuracies of the epoch that just ended."""
        epochs = trainer.max_epochs or 0
        if not trainer.is_global_zero or (trainer.current_epoch + 1) % max(1, epochs // 10):
            return
        figures = trainer.callback_metrics
        shown = [
            f"{label} {float(figures[key]):.3f}"
            for label, key in (
                ("train loss", "train/loss"),
                ("val loss", "val/loss"),
                ("val accuracy", "val/accuracy"),
                ("macro", "val/macro_accuracy"),
            )
            if key in figures
        ]
        last = f"{epochs}" if epochs > 0 else "?"
        print(
            f"epoch {trainer.current_epoch + 1}/{last}  {'  '.join(shown)}",
            file=sys.stderr,
            flush=True,
        )


class StopOnSignal(Callback):
    """SIGTERM: Lightning ends between two steps; leave with exit code 143.

    The last finished epoch is in `last.ckpt` by then. Left alone, Lightning ends with exit code 0,
    which tells a scheduler that all is done.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen, in the main thread (the only one that may)."""
        if stage == "fit" and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give Lightning's way out its exit code."""
        if self.received is not None and isinstance(exception, SystemExit):
            exception.code = 128 + self.received
