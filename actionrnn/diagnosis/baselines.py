"""Other heads, trained on the very features and splits of a run, for comparison with it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.checkpoint import AtomicCheckpointIO, load_recognizer, read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer

MAX_EPOCHS = 30
PATIENCE = 10
_MONITOR = "val/macro_accuracy"


class TrainedHead(NamedTuple):
    """A head trained beside a run, and what it cost."""

    model: TrainedModel
    seconds: float


def train_head(run: TrainedModel, max_epochs: int = MAX_EPOCHS, **head_options: Any) -> TrainedHead:
    """Train a head as the run's was trained, except for these settings.

    The best epoch on validation data counts, as in `fit`. Nothing is written into the run.

    Args:
        run: whose data, settings and seed are used.
        max_epochs: training stops earlier when validation stops improving.
        head_options: fields of `HeadConfig` or of the recognizer, such as `head="mean_pool"`.
    """
    saved = read_checkpoint(run.ckpt_path)[CHECKPOINT_KEY]
    with tempfile.TemporaryDirectory() as folder, _seeded(saved["seed"]):
        best = ModelCheckpoint(folder, "best", monitor=_MONITOR, mode="max")
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=max_epochs,
            gradient_clip_val=1.0,
            logger=False,
            callbacks=[best, EarlyStopping(_MONITOR, mode="max", patience=PATIENCE)],
            plugins=[AtomicCheckpointIO()],
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        started = time.perf_counter()
        trainer.fit(ActionRecognizer(**{**saved["model"], **head_options}), datamodule=run.data)
        seconds = time.perf_counter() - started
        recognizer = load_recognizer(read_checkpoint(Path(best.best_model_path)))
    return TrainedHead(replace(run, recognizer=recognizer), seconds)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The run's seed inside, and what was there before afterwards."""
    before = os.environ.get("PL_GLOBAL_SEED")
    os.environ["PL_GLOBAL_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PL_GLOBAL_SEED"]
        else:
            os.environ["PL_GLOBAL_SEED"] = before
