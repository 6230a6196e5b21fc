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
        ckpt_path: a checkpoint written by `actionrnn fit`.
        device: `auto` takes a GPU where there is one.
        weights: the backbone's weights file, where it has moved since; its content is compared
            with that of the training when the first video is read.
        backbone: the backbone's name, needed where that is code (`module:factory`): a checkpoint
            alone never has code imported.

    Raises:
        ActionRNNError: if the checkpoint is missing, damaged or of another format.
    """
    from actionrnn.evaluation.predictor import ActionPredictor

    return ActionPredictor.load(ckpt_path, device=device, weights=weights, backbone=backbone)
