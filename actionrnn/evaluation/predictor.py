"""From a plain video file to ranked classes, with the pipeline a checkpoint remembers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from actionrnn.evaluation.scoring import probabilities, score_clip
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.extract import extract_clip
from actionrnn.features.machine import choose_device
from actionrnn.features.resolve import settings_of
from actionrnn.features.spec import FeatureSpec
from actionrnn.places import place
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint, trusted_spec
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer


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
        weights: where the backbone's weights are now; None is where they were in training.
        batch_size: pictures per backbone batch, see there; a stream wants few at a time.
    """

    recognizer: ActionRecognizer
    spec: FeatureSpec
    device: str
    weights: str | None = None
    batch_size: int | None = None

    @classmethod
    def load(
        cls,
        ckpt_path: str | Path,
        device: str = "auto",
        weights: str | None = None,
        backbone: str | None = None,
    ) -> "ActionPredictor":
        """Rebuild the pipeline of a checkpoint; the backbone is loaded when first needed.

        Args:
            ckpt_path: a checkpoint.
            device, weights: see the class.
            backbone: its name, needed where that is code (`module:factory`), which a checkpoint
                alone does not run.

        Raises:
            ActionRNNError: if the checkpoint cannot be used.
        """
        checkpoint = read_checkpoint(ckpt_path)
        saved = checkpoint[CHECKPOINT_KEY]
        spec = trusted_spec(saved, backbone)
        chosen = choose_device(device)
        return cls(load_recognizer(checkpoint).to(chosen), spec, chosen, weights)

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
        settings = settings_of(self.spec, self.weights)
        runtime, side = settings.runtime, settings.transform.side
        return FrozenBackbone(settings.backbone, self.device, runtime, self.batch_size, side)

    def features(self, video: str | Path) -> Tensor:
        """Frozen features of every view of a video, float32 (V, T, D).

        Raises:
            VideoError: if it cannot be read.
        """
        return extract_clip(place(video), self.spec.settings, self.backbone).float()

    def probabilities(self, video: str | Path) -> Tensor:
        """Class probabilities of a video, averaged over its views, (K,), summing to 1."""
        return self.probabilities_of(self.features(video))

    def probabilities_of(self, features_VTD: Tensor) -> Tensor:
        """The same of a clip's features."""
        logits_VK = score_clip(self.recognizer, features_VTD)
        return probabilities(self.recognizer, logits_VK[None])[0]

    def predict(self, video: str | Path, top_k: int | None = None) -> list[Ranked]:
        """Classes of a video, most probable first.

        Args:
            video: a video file.
            top_k: how many classes; None is all.

        Raises:
            VideoError: if it cannot be read.
        """
        return ranked(self.class_names, self.probabilities(video), top_k)


def ranked(class_names: list[str], probs_K: Any, top_k: int | None) -> list[Ranked]:
    """Classes by falling probability; equal ones in class order."""
    order = sorted(range(len(class_names)), key=lambda k: (-float(probs_K[k]), k))
    return [Ranked(class_names[k], float(probs_K[k])) for k in order[:top_k]]
