"""A trained model together with the data it was trained on, rebuilt from its checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionrnn.evaluation.predictions import Predictions
from actionrnn.training.batches import Batch
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint, trusted_spec
from actionrnn.training.data import ActionDataModule, ExtractionSettings, Subset
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer
from actionrnn.training.run_folder import run_folder_of

Change = Callable[[Batch], Batch]


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
        backbone: str | None = None,
    ) -> "TrainedModel":
        """Rebuild model and data; features that are missing are extracted first.

        Args:
            ckpt_path: a checkpoint.
            root: another place of the prepared dataset; None is where it was in training.
            split: another split of it.
            allow_leak: go on, marked as leaked, where clips to be scored were trained on.
            device: where missing features are computed.
            backbone: its name, needed where that is code; see `ActionPredictor.load`.

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
            **options, features=spec.settings, extraction=ExtractionSettings(device=device)
        )
        data.prepare_data()
        data.setup("test")
        data.check_features(saved["feature_spec"])
        return cls(Path(ckpt_path), load_recognizer(checkpoint), data)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return run_folder_of(self.ckpt_path)

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of the scores."""
        return self.recognizer.class_names

    def targets(self, subset: Subset) -> Tensor:
        """Class indices of a part's clips, int64 (N,)."""
        return self.data.targets(subset)

    def score(self, subset: Subset, change: Change | None = None) -> Tensor:
        """Scores of every view of a part's clips, (N, V, K); NaN rows could not be read.

        The steps are those of `validate` and `test`.

        Args:
            subset: the part.
            change: alters each batch before it is scored.

        Raises:
            DataRejected: if clips of the part were trained on.
        """
        assert self.recognizer.identity is not None
        self.data.check_unseen(self.recognizer.identity, subset)
        with torch.inference_mode():
            for number, batch in enumerate(self.data.loader(subset)):
                self.recognizer.validation_step(change(batch) if change else batch, number)
        return self.recognizer.collect_scores(len(self.targets(subset)))

    def predictions(self, subset: Subset, logits_NVK: Tensor | None = None) -> Predictions:
        """The predictions table of a part, from `score` or from the scores given."""
        if logits_NVK is None:
            logits_NVK = self.score(subset)
        identity: dict[str, Any] = self.recognizer.identity or {}
        return Predictions.from_logits(
            self.data.part(subset),
            subset,
            logits_NVK,
            self.data.store.failures,
            leaked=self.data.leaked or bool(identity.get("leaked")),
            temperature=self.recognizer.temperature,
            about={"ckpt_path": str(self.ckpt_path), "data": self.data.options()},
        )
