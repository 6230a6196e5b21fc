"""Video action recognition: frozen CNN features, recurrent heads, numbers you can trust."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrnn.process import prepare_process
from actionrnn.version import __version__

if TYPE_CHECKING:
    from actionrnn.evaluation.predictions import Predictions
    from actionrnn.evaluation.predictor import ActionPredictor
    from actionrnn.features.clip_features import Features
    from actionrnn.report.diagnoses import draw
    from actionrnn.report.run import Run

__all__ = ["Features", "Predictions", "Run", "__version__", "draw", "load"]
_PLACES = {
    "Features": "features.clip_features",
    "Predictions": "evaluation.predictions",
    "Run": "report.run",
    "draw": "report.diagnoses",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: they bring PyTorch with them."""
    if name not in _PLACES:
        raise AttributeError(f"module 'actionrnn' has no attribute {name!r}")
    prepare_process()
    return getattr(import_module(f"actionrnn.{_PLACES[name]}"), name)


def load(
    ckpt_path: str | Path,
    device: str = "auto",
    weights: str | None = None,
    backbone: str | None = None,
) -> "ActionPredictor":
    """A trained model with its whole pipeline, from video file to ranked classes.

    Args:
        ckpt_path: a run folder, its name below `runs/`, or a checkpoint; a folder written by
            `actionrnn share`; or `hf:owner/name` of one on the Hugging Face hub.
        device: `auto` takes a GPU where there is one.
        weights: the backbone's weights file, where it has moved since; its content is compared
            with that of the training when the first video is read.
        backbone: the backbone's name, needed where that is code (`module:factory`): a checkpoint
            alone never has code imported.

    Raises:
        ActionRNNError: if it is missing, damaged, of another format, or cannot be downloaded.
    """
    prepare_process()
    from actionrnn.evaluation.predictor import ActionPredictor
    from actionrnn.training.named_runs import checkpoint_of

    named = checkpoint_of(str(ckpt_path))
    if named.startswith("hf:") or Path(named).is_dir():
        from actionrnn.export.hub import download
        from actionrnn.export.share import load_shared

        folder = download(named) if named.startswith("hf:") else Path(named)
        return load_shared(folder, device)
    return ActionPredictor.load(named, device=device, weights=weights, backbone=backbone)
