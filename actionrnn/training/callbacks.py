"""What watches a run: its folder and checkpoints, a calm line per epoch, and signals."""

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Checkpoint, StochasticWeightAveraging

from actionrnn.files import publish_text
from actionrnn.training.gradient_health import GradientHealth as GradientHealth  # by this name
from actionrnn.training.selection import Kept


class RunStart(Callback):
    """Writes what a run begins with, once settings, data and checkpoint have been accepted.

    Comes first of all callbacks: a search for a learning rate, which Lightning makes before the
    model is ready, finds it ready.

    Args:
        write: what to do, in the first process.
    """

    def __init__(self, write: Callable[[pl.Trainer], None]) -> None:
        self._write = write
        self.was_reached = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the model ready."""
        pl_module.on_fit_start()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Everything is accepted: write."""
        self.was_reached = True
        if trainer.is_global_zero:
            self._write(trainer)


class KeepCheckpoints(Checkpoint):
    """`best.ckpt`, of the epoch that counts, and `last.ckpt`.

    What counts is the best `val/macro_accuracy`, of equal ones the lowest `val/loss`, then the
    latest; or always the latest, where there are too few clips to choose by.

    Both are saved where an epoch ends, so that a run can go on from them; of several validations
    within an epoch the best is saved at once. `last.ckpt` is there whenever a step was taken.

    Args:
        folder: where they go; None saves none.
        kept: which epoch counts.

    Attributes:
        figures: every `val/` figure of that epoch by name; empty before the first validation.
        epoch: its number, from 0; None before.
        seconds: of training, from the first part of a resumed run on.
    """

    def __init__(self, folder: Path | None, kept: Kept = "best") -> None:
        self.folder = folder
        self.kept: Kept = kept
        self.figures: dict[str, float] = {}
        self.epoch: int | None = None
        self.seconds = 0.0
        self._is_new_best = False
        self._since = 0.0
        self._saved_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The clock starts."""
        self._since = time.monotonic()
        self._saved_step = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the figures if they are the best so far."""
        if trainer.sanity_checking:
            return
        found = validation_figures(trainer)
        if self.kept == "best" and rank(found) < rank(self.figures):
            return
        self.figures, self.epoch, self._is_new_best = found, trainer.current_epoch, True
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._save_best(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch."""
        self._save_whole(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the last epoch does not hold: weights that were averaged over the run."""
        self._tick()
        averaged = any(
            isinstance(each, StochasticWeightAveraging)
            for each in trainer.callbacks  # type: ignore[attr-defined]
        )
        if averaged or trainer.global_step != self._saved_step:
            self._save_whole(trainer)

    def _save_whole(self, trainer: pl.Trainer) -> None:
        self._is_new_best |= self.kept == "last"
        self._save_best(trainer)
        self._save(trainer, "last")

    def _save_best(self, trainer: pl.Trainer) -> None:
        if self._is_new_best:
            self._save(trainer, "best")
        self._is_new_best = False

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        self._tick()
        if self.folder is not None:
            trainer.save_checkpoint(self.folder / f"{name}.ckpt")
            self._saved_step = trainer.global_step

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now

    def state_dict(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        return {"figures": self.figures, "epoch": self.epoch, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the resumed run was."""
        self.figures, self.epoch = state_dict["figures"], state_dict["epoch"]
        self.seconds = state_dict["seconds"]


def rank(figures: Mapping[str, float]) -> tuple[float, float]:
    """The greater, the better the epoch that has these validation figures."""
    return figures.get("macro_accuracy", -1.0), -figures.get("loss", math.inf)


def validation_figures(trainer: pl.Trainer) -> dict[str, float]:
    """The figures of the latest validation by name."""
    return {
        key.removeprefix("val/"): float(value)
        for key, value in trainer.callback_metrics.items()
        if key.startswith("val/")
    }


class EpochRows(Checkpoint):
    """`metrics.csv`: a row an epoch, before its checkpoint, with all that was logged in it.

    Figures of a validation stand in the row of its epoch alone; of several the last counts.
    It comes among the callbacks that run last, when everything of an epoch is known.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._validated = -1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that this epoch was validated."""
        if not trainer.sanity_checking:
            self._validated = trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row."""
        if not trainer.is_global_zero:
            return
        is_validated = self._validated == trainer.current_epoch
        figures = {
            key: float(value)
            for key, value in trainer.callback_metrics.items()
            if is_validated or not key.startswith("val/")
        }
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        place = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        self._append({**place, "learning_rate": rate, **figures})

    def _append(self, row: dict[str, Any]) -> None:
        header, rows = read_rows(self.file)
        new = [key for key in row if key not in header]
        if new or not rows:
            write_rows(self.file, [*header, *new], [*rows, row])
            return
        with self.file.open("a") as file:
            csv.DictWriter(file, header, lineterminator="\n").writerow(row)


def read_rows(file: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a `metrics.csv`; none if it is not there."""
    if not file.is_file():
        return [], []
    with file.open(newline="") as opened:
        reader = csv.DictReader(opened)
        rows = list(reader)
        return list(reader.fieldnames or []), rows


def write_rows(file: Path, header: list[str], rows: list[dict[str, Any]]) -> None:
    """Write a whole `metrics.csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    publish_text(file, text.getvalue())


def keep_rows_before(file: Path, epoch: int) -> None:
    """Take away rows of epochs that a run will go through again, and rows that were cut."""
    header, rows = read_rows(file)
    kept = {
        row["epoch"]: row
        for row in rows
        if None not in row.values() and row["epoch"].isdigit() and int(row["epoch"]) < epoch
    }
    if header and len(kept) != len(rows):
        write_rows(file, header, list(kept.values()))


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
    which tells a scheduler that all is done. `note` must be told of the signal during the run.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal came."""
        self.received = number

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give Lightning's way out its exit code."""
        if self.received is not None and isinstance(exception, SystemExit):
            exception.code = 128 + self.received
