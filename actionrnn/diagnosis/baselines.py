"""Other heads, trained on the very features and splits of a run, for comparison with it."""

import tempfile
from dataclasses import replace
from typing import Any, NamedTuple

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint
from actionrnn.training.fit import fit
from actionrnn.training.named_code import refuse_unnamed
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.settings import changed, parsed


class TrainedHead(NamedTuple):
    """A head trained beside a run, and what it cost."""

    model: TrainedModel
    seconds: float


def train_head(run: TrainedModel, **head_options: Any) -> TrainedHead:
    """Train a head exactly as the run was trained, except for these settings.

    The best epoch on validation data counts, as in `fit`. Nothing is written into the run.

    Args:
        run: whose recipe is used, on the data it is asked about.
        head_options: settings of the model, such as `head="mean_pool"`.

    Raises:
        ActionRNNError: if the run was not trained by `actionrnn fit` and so has no recipe.
    """
    recipe = read_checkpoint(run.ckpt_path)[CHECKPOINT_KEY]["recipe"]
    if not recipe:
        raise ActionRNNError(
            f"{run.ckpt_path} does not know how it was trained, so nothing can be trained like it; "
            f"train with `actionrnn fit`"
        )
    # What only a checkpoint names is neither imported nor written to.
    recipe = {**recipe, "trainer": {**recipe["trainer"], "logger": False, "profiler": None}}
    refuse_unnamed(recipe, {"features": recipe["features"]})
    data = {f"data.{name}": value for name, value in run.data.options().items()}
    model = {f"model.{name}": value for name, value in head_options.items()}
    with tempfile.TemporaryDirectory() as folder:
        here = {"run.folder": folder, **data, **model}
        fitted = fit(changed(parsed(recipe), here), quiet=True)
        assert fitted.best is not None
        recognizer = load_recognizer(read_checkpoint(fitted.best))
    return TrainedHead(replace(run, recognizer=recognizer), fitted.figures.seconds)
