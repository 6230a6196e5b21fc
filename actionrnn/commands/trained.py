"""What verbs about a trained model share: the model of their options, one video after another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from actionrnn.commands.parsing import output_targets
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.progress import tell
from actionrnn.video.errors import VideoError

Part = Literal["val", "test", "train"]
"""The parts of a split that questions are asked of."""


def trained_model(options: Any) -> TrainedModel:
    """The model with its data, as parsed options say; what a verb has no option for is usual."""
    return TrainedModel.load(
        options.ckpt_path,
        root=options.get("data.root"),
        split=options.get("data.split"),
        allow_leak=options.get("data.allow_leak", False),
        device=options.get("device", "auto"),
        weights=options["features.backbone.weights"],
        backbone=options["features.backbone.name"],
    )


def predictor_of(options: Any) -> ActionPredictor:
    """The model for plain videos, likewise."""
    return ActionPredictor.load(
        options.ckpt_path,
        options.get("device", "auto"),
        options["features.backbone.weights"],
        options["features.backbone.name"],
    )


def for_each_video(folder: Path, videos: list[str], do: Callable[[str, Path], None]) -> int:
    """Do one thing with every video and the place of its files; returns the exit code."""
    failures = 0
    for video, target in zip(videos, output_targets(folder, videos), strict=True):
        try:
            do(video, target)
        except VideoError as error:
            failures += 1
            tell(f"{video}\n  could not be read: {error.reason}")
    return code_of_unread(failures, len(videos))


def code_of_unread(num_unread: int, num_videos: int) -> int:
    """The exit code where some videos could not be read, which is said: 1, or 0 if none."""
    if num_unread:
        tell(f"{num_unread} of {num_videos} videos could not be read")
    return 1 if num_unread else 0
