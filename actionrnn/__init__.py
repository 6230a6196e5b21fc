"""Video action recognition: frozen CNN features, recurrent heads, numbers you can trust."""

from typing import TYPE_CHECKING

from actionrnn.version import __version__

if TYPE_CHECKING:
    from actionrnn.evaluation.predictor import ActionPredictor

__all__ = ["__version__", "load"]


def load(
    ckpt_path: str,
    device: str = "auto",
    weights: str | None = None,
    backbone: str | None = None,
) -> "ActionPredictor":
    """A trained model with its whole pipeline, from video file to ranked classes.

    Args:
        ckpt_path: a checkpoint written by `actionrnn fit`, a folder written by `actionrnn share`,
            or `hf:owner/name` of one on the Hugging Face hub.
        device: `auto` takes a GPU where there is one.
        weights: the backbone's weights file, where it has moved since; its content is compared
            with that of the training when the first video is read.
        backbone: the backbone's name, needed where that is code (`module:factory`): a checkpoint
            alone never has code imported.

    Raises:
        ActionRNNError: if it is missing, damaged, of another format, or cannot be downloaded.
    """
    from pathlib import Path

    from actionrnn.evaluation.predictor import ActionPredictor

    if str(ckpt_path).startswith("hf:") or Path(ckpt_path).is_dir():
        from actionrnn.export.hub import download
        from actionrnn.export.share import load_shared

        folder = download(ckpt_path) if str(ckpt_path).startswith("hf:") else Path(ckpt_path)
        return load_shared(folder, device)
    return ActionPredictor.load(ckpt_path, device=device, weights=weights, backbone=backbone)
