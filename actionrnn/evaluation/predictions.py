"""The predictions table: one row a clip, the only thing metrics, plots and notebooks read."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.files import published
from actionrnn.training.metrics import classification_metrics, predictions
from actionrnn.training.recognizer import clip_logits
from actionrnn.training.scores import came_to

SCHEMA_VERSION = 1
METADATA_KEY = b"actionrnn"
COLUMNS = ["video_id", "path", "group", "split", "label", "pred", "correct", "error"]
COLUMNS += ["probs", "logits", "view_logits"]
UNREADABLE = "(unreadable)"


@dataclass(frozen=True)
class Part:
    """How much of a part of a split was scored: `scored` clips of `clips`."""

    scored: int
    clips: int

    def __str__(self) -> str:
        return f"{self.scored} of {self.clips} clips"


@dataclass(frozen=True)
class Predictions:
    """Scores of every clip of one part of a split; or of those that a limited run came to.

    Attributes:
        table: columns `video_id, path, group, split, label, pred, correct, error, probs, logits`
            (`probs` and `logits` are float32 arrays of length K; empty for an unreadable clip,
            whose `pred` is empty, whose `error` says why, and which is not `correct`) and
            `view_logits` (arrays of V*K, one view after the other).
        class_names: the K classes, in the order of `probs`.
        leaked: the split shared recordings between training and test, or test clips were
            trained on.
        about: plain data: `num_views`, `temperature`, and what the writer adds; `part` where
            not all clips were scored.
    """

    table: pd.DataFrame
    class_names: list[str]
    leaked: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_logits(
        cls,
        part: Manifest,
        subset: str,
        logits_NVK: Tensor,
        errors: dict[str, str],
        leaked: bool = False,
        temperature: float = 1.0,
        about: dict[str, Any] | None = None,
    ) -> "Predictions":
        """Build the table from the scores of a part's clips, in the order of its manifest.

        A clip without scores and without an error was never come to (`limit_test_batches`): it
        is left out, and so are the unreadable clips after the last one that was scored.

        Args:
            part: the clips, N of them.
            subset: name of the part (`test`).
            logits_NVK: scores of every view; NaN rows are clips that could not be read.
            errors: the reason for each clip that could not be read, by `video_id`.
            leaked: see the class.
            temperature: what the checkpoint divides clip scores by.
            about: plain data kept with the table.
        """
        logits_NK = clip_logits(logits_NVK.double(), temperature)
        label_N = part.table["label"].to_numpy(dtype=object)
        ids = part.table["video_id"].tolist()
        table = pd.DataFrame(
            {
                "video_id": ids,
                "path": part.table["path"].tolist(),
                "group": part.table["group"].tolist(),
                "split": subset,
                "label": label_N,
                **_scores(logits_NK, label_N, part.class_names),
                "error": [errors.get(video_id, "") for video_id in ids],
                "view_logits": _rows(logits_NVK.float().flatten(1)),
            }
        )
        known: dict[str, Any] = {"num_views": logits_NVK.shape[1], "temperature": temperature}
        ran_N = came_to(logits_NVK, torch.tensor([video_id in errors for video_id in ids]))
        if not bool(ran_N.all()):
            table = table[ran_N.numpy()].reset_index(drop=True)
            known["part"] = {"scored": len(table), "clips": len(ids)}
        return cls(table[COLUMNS], part.class_names, leaked, {**known, **(about or {})})

    def rescored(self, logits_NK: Tensor) -> "Predictions":
        """The same clips with other scores, as of one view.

        Args:
            logits_NK: float64; NaN rows are clips that could not be read.
        """
        scores = _scores(logits_NK, self.table["label"].to_numpy(dtype=object), self.class_names)
        table = self.table.assign(**scores, view_logits=scores["logits"])
        return replace(self, table=table, about={**self.about, "num_views": 1, "temperature": 1.0})

    @property
    def part(self) -> Part | None:
        """How much was scored, where that is not all of it."""
        return Part(**self.about["part"]) if self.about.get("part") else None

    def logits(self) -> Tensor:
        """Clip scores (N, K) float64; NaN rows are unreadable clips."""
        return _stacked(self.table["logits"], len(self.class_names))

    def view_logits(self) -> Tensor:
        """View scores (N, V, K) float64; NaN rows are unreadable clips."""
        num_views = int(self.about["num_views"])
        flat = _stacked(self.table["view_logits"], num_views * len(self.class_names))
        return flat.reshape(len(flat), num_views, -1)

    def targets(self) -> Tensor:
        """Class indices, int64 (N,)."""
        index = {name: number for number, name in enumerate(self.class_names)}
        return torch.tensor([index[label] for label in self.table["label"]])

    @property
    def probabilities(self) -> pd.DataFrame:
        """A row for each clip by `video_id`, a column for each class; NaN for unreadable clips."""
        probs = _stacked(self.table["probs"], len(self.class_names)).numpy()
        return pd.DataFrame(probs, index=self.table["video_id"], columns=self.class_names)

    def confusions(self) -> pd.DataFrame:
        """How many clips of each class (rows) were taken for which, (K, K + 1).

        The last column is those that could not be read.
        """
        num_classes = len(self.class_names)
        counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
        np.add.at(counts, (self.targets().numpy(), predictions(self.logits()).numpy()), 1)
        return pd.DataFrame(counts, index=self.class_names, columns=[*self.class_names, UNREADABLE])

    def figures(self) -> pd.DataFrame:
        """The headline figures with 95 % intervals over groups: columns `value, low, high`."""
        from actionrnn.evaluation.summary import summarise  # which reads this table

        return summarise(self).frame()

    def metrics(self) -> dict[str, float]:
        """The headline figures; see `classification_metrics`."""
        return classification_metrics(self.logits(), self.targets())

    def save(self, path: Path) -> None:
        """Write a Parquet file beside the target and rename it into place."""
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        about = {
            "schema_version": SCHEMA_VERSION,
            "class_names": self.class_names,
            "leaked": self.leaked,
            "about": self.about,
        }
        metadata = {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(about).encode()}
        with published(path) as temporary:
            pq.write_table(table.replace_schema_metadata(metadata), temporary)

    @classmethod
    def load(cls, path: Path | str) -> "Predictions":
        """Read a file written by `save`.

        Raises:
            ActionRNNError: if it is missing, not such a table, or of another schema version.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "predictions.parquet"
        if not file.is_file() and (file.parent / "timelines.parquet").is_file():
            raise ActionRNNError(
                f"{file.parent} was trained on timelines: this asks for predictions of clips. Its "
                f"figures are in metrics.json, the scores of every step in timelines.parquet"
            )
        if not file.is_file():
            raise ActionRNNError(
                f"{file}: no predictions here; make them with "
                f"`actionrnn test --ckpt_path {file.parent / 'checkpoints' / 'best.ckpt'}`"
            )
        try:
            table = pq.read_table(file)
            about = json.loads(table.schema.metadata[METADATA_KEY])
            version = about["schema_version"]
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ActionRNNError(
                f"{file} is not a predictions table ({error}); make it again with `actionrnn test`"
            ) from error
        if version != SCHEMA_VERSION:
            raise ActionRNNError(
                f"{file} has schema version {version}, this version reads "
                f"{SCHEMA_VERSION}; make it again with `actionrnn test`"
            )
        return cls(table.to_pandas(), about["class_names"], about["leaked"], about["about"])


def _scores(
    logits_NK: Tensor, label_N: np.ndarray[Any, Any], class_names: list[str]
) -> dict[str, Any]:
    """The columns that follow from the scores of clips; NaN rows could not be read."""
    pred_N = np.array([*class_names, ""], dtype=object)[predictions(logits_NK).numpy()]
    readable_N = ~logits_NK.isnan().any(dim=1).numpy()
    return {
        "pred": pred_N,
        "correct": (pred_N == label_N) & readable_N,
        "probs": _rows(logits_NK.softmax(dim=1).float()),
        "logits": _rows(logits_NK.float()),
    }


def _rows(values_NX: Tensor) -> list[np.ndarray[Any, Any]]:
    """One array a clip, empty for a NaN row."""
    missing_N = values_NX.isnan().any(dim=1).tolist()
    return [
        row[:0] if none else row for row, none in zip(values_NX.numpy(), missing_N, strict=True)
    ]


def _stacked(column: "pd.Series[Any]", width: int) -> Tensor:
    missing = np.full(width, np.nan, np.float32)
    rows = np.stack([row if len(row) else missing for row in column])
    return torch.from_numpy(rows.astype(np.float64))
