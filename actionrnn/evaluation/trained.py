"""A trained model together with the data it was trained on, rebuilt from its checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.figures import GroupedScores
from actionrnn.evaluation.intervals import group_ids
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.scoring import Change, predictions_of, refuse_timelines, score_part
from actionrnn.features.resolve import settings_of
from actionrnn.training.action_data import Subset
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint, trusted_spec
from actionrnn.training.data import ActionDataModule
from actionrnn.training.data_source import ExtractionSettings
from actionrnn.training.named_code import refuse_unnamed
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer
from actionrnn.training.run_folder import run_folder_of
from actionrnn.training.settings import Settings, changed, parsed


@dataclass
class TrainedModel:
    """What the diagnostics ask: a head, its cached features, its splits.

    Attributes:
        ckpt_path: where it came from.
        recognizer: the trained model, in eval mode, on the CPU.
        data: the data it was trained on, features ready.
    """

    ckpt_path: Path
    recognizer: ActionRecognizer
    data: ActionDataModule

    @classmethod
    def load(
        cls,
        ckpt_path: str | Path,
        root: str | None = None,
        split: str | None = None,
        allow_leak: bool = False,
        device: str = "auto",
        weights: str | None = None,
        backbone: str | None = None,
    ) -> "TrainedModel":
        """Rebuild model and data; features that are missing are extracted first.

        Args:
            ckpt_path: a checkpoint.
            root: another place of the prepared dataset; None is where it was in training.
            split: another split of it.
            allow_leak: go on, marked as leaked, where clips to be scored were trained on.
            device: where missing features are computed.
            weights, backbone: see `ActionPredictor.load`.

        Raises:
            ActionRNNError: if the checkpoint, the data or its features are missing or others.
        """
        checkpoint = read_checkpoint(ckpt_path)
        saved = checkpoint[CHECKPOINT_KEY]
        options = {**saved["data"]}
        if root is not None:
            options |= {"root": root, "features_dir": None}
        options |= {"split": split} if split else {}
        options |= {"allow_leak": True} if allow_leak else {}
        spec = trusted_spec(saved, backbone)
        data = ActionDataModule(
            **options,
            features=settings_of(spec, weights),
            extraction=ExtractionSettings(device=device),
        )
        data.expects = saved
        data.prepare_data()
        data.setup("test")
        return cls(Path(ckpt_path), load_recognizer(checkpoint), data)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return run_folder_of(self.ckpt_path)

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of the scores."""
        return self.recognizer.class_names

    def settings(self) -> Settings:
        """How it was trained, on the data that it is asked about.

        Raises:
            ActionRNNError: if it was not trained by `actionrnn fit` and so has no recipe.
        """
        recipe = read_checkpoint(self.ckpt_path)[CHECKPOINT_KEY]["recipe"]
        if not recipe:
            raise ActionRNNError(
                f"{self.ckpt_path} does not know how it was trained, so nothing can be trained "
                f"like it; train with `actionrnn fit`"
            )
        refuse_unnamed(recipe, {"features": recipe["features"]})
        data = {f"data.{name}": value for name, value in self.data.options().items()}
        return changed(parsed(recipe), data)

    def targets(self, subset: Subset) -> Tensor:
        """Class indices of a part's clips, int64 (N,)."""
        return self.data.targets(subset)

    def score(self, subset: Subset, change: Change | None = None) -> Tensor:
        """Scores of every view of a part's clips, (N, V, K); see `score_part`."""
        return score_part(self.recognizer, self.data, subset, change)

    def embeddings(self, video_ids: Sequence[str]) -> NDArray[np.float32]:
        """What the head's classifier reads of clips (their first view), (N, H)."""
        found = []
        with torch.inference_mode():
            for part in self.data.store.positions(video_ids).split(self.data.batch_size):
                output = self.recognizer.head(*self.data.store.gather(part))
                found.append(output.pooled_BH.float().numpy())
        return np.concatenate(found)

    def predictions(self, subset: Subset, logits_NVK: Tensor | None = None) -> Predictions:
        """The predictions table of a part, from `score` or from the scores given."""
        if logits_NVK is None:
            logits_NVK = self.score(subset)
        return predictions_of(self.recognizer, self.data, subset, logits_NVK, self.ckpt_path)

    def grouped(self, subset: Subset, logits_NVK: Tensor) -> GroupedScores:
        """Scores of a part by group, as they are (temperature 1).

        Raises:
            UsageError: see `refuse_timelines`.
        """
        refuse_timelines(self.data)
        group_N = group_ids(self.data.part(subset).table)
        return GroupedScores.of(logits_NVK.double(), self.targets(subset), group_N)
