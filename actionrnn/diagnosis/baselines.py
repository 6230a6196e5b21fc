"""Other heads, trained on the very features and splits of a run, for comparison with it."""

import tempfile
from dataclasses import replace
from typing import Any

from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint
from actionrnn.training.fit import fit
from actionrnn.training.settings import changed


def train_head(run: TrainedModel, **head_options: Any) -> TrainedModel:
    """Train a head exactly as the run was trained, except for these settings.

    The best epoch on validation data counts, as in `fit`. Nothing is written into the run.

    Args:
        run: whose recipe is used, on the data it is asked about.
        head_options: settings of the model, such as `head="mean_pool"`.

    Raises:
        ActionRNNError: see `TrainedModel.settings`.
    """
    model = {f"model.{name}": value for name, value in head_options.items()}
    # What only a checkpoint names is neither imported nor written to.
    nothing = {"trainer.logger": False, "trainer.profiler": None}
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(
            changed(run.settings(), {"run.folder": folder, **nothing, **model}), quiet=True
        )
        assert fitted.best is not None
        recognizer = load_recognizer(read_checkpoint(fitted.best))
    return replace(run, recognizer=recognizer)
