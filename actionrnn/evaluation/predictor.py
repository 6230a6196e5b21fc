"""From a plain video file to ranked classes, with the pipeline a checkpoint remembers."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.extract import choose_device, extract_clip, load_backbone
from actionrnn.features.spec import FeatureSpec
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint, trusted_spec
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer, clip_logits
from actionrnn.video.errors import VideoError


class Ranked(NamedTuple):
    """A class and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass
class ActionPredictor:
    """A trained head with the exact reader, sampling, transform and backbone it was trained on.

    Attributes:
        recognizer: the trained model, in eval mode.
        spec: what its features are.
        device: where the backbone and the head run.
        features_dir: where the features it was trained on are kept.
    """

    recognizer: ActionRecognizer
    spec: FeatureSpec
    device: str
    features_dir: Path

    @classmethod
    def load(
        cls, ckpt_path: str | Path, device: str = "auto", backbone: str | None = None
    ) -> "ActionPredictor":
        """Rebuild the pipeline of a checkpoint; the backbone is loaded when first needed.

        Args:
            ckpt_path: a checkpoint.
            device: where the backbone and the head run.
            backbone: its name, needed where that is code (`module:factory`), which a checkpoint
                alone does not run.

        Raises:
            ActionRNNError: if the checkpoint cannot be used.
        """
        checkpoint = read_checkpoint(ckpt_path)
        saved = checkpoint[CHECKPOINT_KEY]
        spec = trusted_spec(saved, backbone)
        chosen = choose_device(device)
        folder = Path(saved["data"]["features_dir"])
        return cls(load_recognizer(checkpoint).to(chosen), spec, chosen, folder)

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of the probabilities."""
        return self.recognizer.class_names

    @cached_property
    def backbone(self) -> FrozenBackbone:
        """The frozen backbone, checked to have the very weights of the training features.

        Raises:
            ActionRNNError: if its weights are others than those the checkpoint was trained on.
        """
        backbone = load_backbone(self.spec, self.features_dir, self.device)
        if backbone.weights_sha256 != self.spec.weights_sha256:
            raise ActionRNNError(
                f"the backbone weights {self.spec.settings.backbone.weights} are not those the "
                f"checkpoint was trained on (SHA-256 {backbone.weights_sha256[:12]}..., expected "
                f"{self.spec.weights_sha256[:12]}...): give the original file"
            )
        return backbone

    def features(self, video: str | Path) -> Tensor:
        """Frozen features of every view of a video, float32 (V, T, D).

        Raises:
            VideoError: if it cannot be read.
        """
        return extract_clip(Path(video), self.spec.settings, self.backbone).float()

    def probabilities(self, video: str | Path) -> Tensor:
        """Class probabilities of a video, averaged over its views, (K,), summing to 1."""
        return self.probabilities_of(self.features(video))

    def probabilities_of(self, features_VTD: Tensor) -> Tensor:
        """The same of a clip's features."""
        features_VTD = features_VTD.to(self.device)
        lengths_V = torch.full((len(features_VTD),), features_VTD.shape[1], device=self.device)
        with torch.inference_mode():
            logits_VK = self.recognizer.head(features_VTD, lengths_V).logits_BK
        logits_K = clip_logits(logits_VK[None].double(), self.recognizer.temperature)[0]
        return logits_K.softmax(dim=0).cpu()

    def predict(self, video: str | Path, top_k: int | None = None) -> list[Ranked]:
        """Classes of a video, most probable first.

        Args:
            video: a video file.
            top_k: how many classes; None is all.

        Raises:
            VideoError: if it cannot be read.
        """
        return ranked(self.class_names, self.probabilities(video), top_k)

    def print_predictions(self, videos: Sequence[str], top_k: int, as_json: bool) -> int:
        """Print the ranking of each file; returns exit code 1 if any file could not be read."""
        failures = 0
        for video in videos:
            try:
                ranking, error = self.predict(video, top_k), ""
            except VideoError as unreadable:
                ranking, error = [], str(unreadable)
                failures += 1
            if as_json:
                top = [{"label": label, "probability": p} for label, p in ranking]
                print(json.dumps({"path": video, "top": top, "error": error}))
            else:
                _print_one(video, ranking, error)
        if failures:
            print(f"{failures} of {len(videos)} videos could not be read", file=sys.stderr)
        return 1 if failures else 0


def ranked(class_names: list[str], probs_K: Any, top_k: int | None) -> list[Ranked]:
    """Classes by falling probability; equal ones in class order."""
    order = sorted(range(len(class_names)), key=lambda k: (-float(probs_K[k]), k))
    return [Ranked(class_names[k], float(probs_K[k])) for k in order[:top_k]]


def print_ranking(path: str, class_names: list[str], probs_K: Any, error: str) -> None:
    """Print the best classes of one clip of a predictions table, or why there are none."""
    _print_one(path, [] if error else ranked(class_names, probs_K, 5), error)


def _print_one(path: str, ranking: list[Ranked], error: str) -> None:
    if error:
        print(f"{path}\n  could not be read: {error}")
        return
    print(path)
    for place, (label, probability) in enumerate(ranking, start=1):
        print(f"  {place}. {label:<28} {probability:6.1%}")
