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
    from actionrnn.live.timeline import Timeline
    from actionrnn.report.diagnoses import draw
    from actionrnn.report.run import Run

__all__ = ["Features", "Predictions", "Run", "__version__", "draw", "load", "timeline"]
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


def timeline(
    ckpt_path: str,
    video: str,
    *,
    fps: float | None = None,
    history: str = "restart",
    history_seconds: float | None = None,
    on: float = 0.6,
    off: float | None = None,
    min_seconds: float = 0.5,
    background: tuple[str, ...] = (),
    device: str = "auto",
    weights: str | None = None,
) -> "Timeline":
    """What happens when in a long video, as `actionrnn timeline` finds it.

    Args:
        ckpt_path: a checkpoint written by `actionrnn fit`.
        video: a file, or a folder of numbered pictures.
        fps: samples per second; None is the rate of the training.
        history: how far back a score looks: `restart`, `window`, `forget` or `whole`.
        history_seconds: how far; None is as long as the clips of the training.
        on, off: an event begins at this probability and lasts until it falls below the other one;
            None is two thirds of `on`.
        min_seconds: shorter events are none.
        background: classes that stand for nothing happening.
        device: `auto` takes a GPU where there is one.
        weights: the backbone's weights file, where it has moved since.

    Raises:
        ActionRNNError: if checkpoint or video cannot be read, or the head cannot watch a stream.
        ValueError: for thresholds outside 0..1, or an `off` above its `on`.
    """
    from typing import cast

    from actionrnn.evaluation.predictor import ActionPredictor
    from actionrnn.live.events import EventRules
    from actionrnn.live.history import HistoryName
    from actionrnn.live.timeline import WatchSettings, timeline_of
    from actionrnn.training.checkpoint import read_checkpoint
    from actionrnn.training.recognizer import CHECKPOINT_KEY

    rules = EventRules(on, off, least_seconds=min_seconds, background=background)
    settings = WatchSettings(cast(HistoryName, history), history_seconds, fps, rules)
    predictor = ActionPredictor.load(ckpt_path, device, weights)
    data = read_checkpoint(ckpt_path)[CHECKPOINT_KEY]["data"]
    return timeline_of(predictor, video, settings, data)
