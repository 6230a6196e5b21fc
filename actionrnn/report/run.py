"""Run: a run folder with its figures, config, checkpoints, predictions and model."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.diagnosis.bias import BiasDiagnosis
from actionrnn.diagnosis.calibration import CalibrationDiagnosis
from actionrnn.diagnosis.gradients import GradientsDiagnosis
from actionrnn.diagnosis.heads import compare_heads
from actionrnn.diagnosis.order import OrderDiagnosis
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.paired import compare
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.records import load_record, to_plain
from actionrnn.evaluation.summary import Summary, summarise
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.explain.evidence import ExplainedClip, explain_clip
from actionrnn.explain.survey import survey
from actionrnn.features.clip_features import Features
from actionrnn.process import quiet_libraries
from actionrnn.report.diagnoses import DIAGNOSES
from actionrnn.report.pictures import Places, frames_of
from actionrnn.training.action_data import Subset
from actionrnn.training.named_runs import run_of
from actionrnn.training.run_folder import CHOOSING, run_folder_of

Diagnosis = TypeVar("Diagnosis")


def _diagnosis(kind: type[Diagnosis], name: str) -> "cached_property[Diagnosis | None]":
    """A property of a run: what `diagnose NAME` found, None where it was not asked."""

    def found(run: "Run") -> Diagnosis | None:
        file = run.folder / "diagnostics" / f"{name}.json"
        return load_record(kind, file, run.command_of(name)) if file.is_file() else None

    found.__doc__ = f"What `diagnose {name}` found; None where it was not asked."
    return cached_property(found)


@dataclass(frozen=True)
class Run:
    """A run folder; only `predictions.parquet` must be there.

    Attributes:
        folder: the run folder.
        predictions: its predictions table.
    """

    folder: Path
    predictions: Predictions

    @classmethod
    def load(cls, folder: Path | str = "runs") -> "Run":
        """Open a run that was tested.

        Args:
            folder: of the run; or its name below `runs/`; or a folder of runs, of which the one
                tested last counts.

        Raises:
            ActionRNNError: if there are no predictions, saying which command makes them.
        """
        found = run_of(str(folder))
        return cls(found, Predictions.load(found))

    @property
    def name(self) -> str:
        """The last two parts of the path, `demo_lstm/2026-11-23_10-40-12`."""
        return "/".join(self.folder.resolve().parts[-2:])

    @property
    def checkpoint(self) -> str:
        """Path of the checkpoint that was tested, which may have been copied with the run."""
        tested = Path(self.predictions.about.get("ckpt_path") or "best.ckpt")
        here = self.folder / "checkpoints" / tested.name
        return str(here if here.is_file() or not tested.is_absolute() else tested)

    @cached_property
    def summary(self) -> Summary:
        """What `summarise` says of the predictions."""
        return summarise(self.predictions)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """`env.json`, or nothing."""
        return self._json("env.json")

    @cached_property
    def fit(self) -> dict[str, Any]:
        """`fit.json`, or nothing."""
        return self._json("fit.json")

    @cached_property
    def config(self) -> str:
        """`config.yaml` as text, or nothing."""
        file = self.folder / "config.yaml"
        return file.read_text() if file.is_file() else ""

    order = _diagnosis(OrderDiagnosis, "order")
    bias = _diagnosis(BiasDiagnosis, "bias")
    calibration = _diagnosis(CalibrationDiagnosis, "calibration")
    gradients = _diagnosis(GradientsDiagnosis, "gradients")

    def command_of(self, kind: str) -> str:
        """The command that makes a diagnosis of the run."""
        return f"actionrnn diagnose {kind} --ckpt_path {shlex.quote(self.checkpoint)}"

    @cached_property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Each figure of `metrics.csv` by epoch (the first is 1); values not finite left out.

        Of a refit run they are of the one before it, which validated.
        """
        before = self.folder / CHOOSING / "metrics.csv"
        file = before if before.is_file() else self.folder / "metrics.csv"
        if not file.is_file() or not file.stat().st_size:
            return {}
        table = pd.read_csv(file)
        if "epoch" not in table:
            return {}
        found = {}
        for name in table.columns:
            if "/" in name:
                pairs = zip(table["epoch"] + 1, table[name], strict=True)
                points = [(float(x), float(y)) for x, y in pairs if math.isfinite(y)]
                if points:
                    found[name] = points
        return found

    # ---- the trained model --------------------------------------------------------------------

    @cached_property
    def model(self) -> ActionPredictor:
        """The model, for videos; as `actionrnn.load` gives it."""
        return ActionPredictor.load(self.checkpoint)

    @cached_property
    def trained(self) -> TrainedModel:
        """The model with the data it was trained on; features that are missing are extracted."""
        quiet_libraries()
        return TrainedModel.load(self.checkpoint)

    @property
    def figures(self) -> pd.DataFrame:
        """The headline figures with 95 % intervals over groups: columns `value, low, high`."""
        return self.summary.frame()

    @property
    def classes(self) -> pd.DataFrame:
        """A row for each class: `clips, groups, accuracy, low, high, precision, f1`."""
        found = pd.DataFrame(self.summary.per_class).set_index("label")
        bounds = [each or (math.nan, math.nan) for each in found.pop("interval")]
        found[["low", "high"]] = np.array(bounds)
        return found

    def features(self, subset: Subset = "test") -> Features:
        """The frozen features of a part of the run's clips."""
        return Features.of(self.trained.data.part(subset), self.trained.data.store)

    def embeddings(self, subset: Subset = "test") -> NDArray[np.float32]:
        """What the trained head makes of each clip of `features(subset)`, (N, H)."""
        return self.trained.embeddings(self.features(subset).clips["video_id"].tolist())

    def frames(self, video_id: str, count: int = 4) -> NDArray[np.uint8]:
        """Pictures spread over one of the run's clips, (count, H, W, 3) or fewer.

        Raises:
            VideoError: if it cannot be read.
        """
        return frames_of(*self._place(video_id), count)

    def explain(self, video_id: str, label: str | None = None) -> ExplainedClip:
        """Why one of the run's clips gets a class; `draw` shows it.

        Raises:
            ActionRNNError: for an unknown clip or class.
        """
        path, start, end = self._place(video_id)
        return explain_clip(self.model, path, label, start, end)

    def _place(self, video_id: str) -> tuple[Path, float | None, float | None]:
        places = Places.of(self.trained.data.root)
        if video_id not in places.clips:
            raise ActionRNNError(f"the run has no clip {video_id!r}; see `predictions.table`")
        return places.clips[video_id]

    def diagnose(self, kind: str, **options: Any) -> Any:
        """Ask a question of `actionrnn diagnose`: `order`, `bias`, `calibration`, `gradients`.

        Returns:
            A record with a `verdict`; `draw` shows it. Nothing is written.

        Raises:
            KeyError: for another question.
        """
        return DIAGNOSES[kind](self.trained, **options)

    def survey(self, max_clips: int = 20) -> pd.DataFrame:
        """Whether explanations are true to the model: a column for each method, see `Survey`."""
        return pd.DataFrame(to_plain(survey(self.trained, max_clips=max_clips))["methods"])

    def against(self, other: "Run") -> pd.DataFrame:
        """Whether this run is better than another on the same clips, by more than noise.

        A row for each headline figure: both values, `difference` (this less the other), its
        95 % interval, and a verdict: `better`, `worse`, `noise`, or `?` of too few groups.

        Raises:
            DataRejected: if they were tested on other clips.
        """
        names = (other.name, self.name)
        paired = compare([other.predictions], [self.predictions], names)
        return pd.DataFrame.from_dict(paired.to_dict()["figures"], orient="index")

    def with_heads(self, names: Sequence[str]) -> dict[str, "Run"]:
        """Other heads, trained and tested as this run was, in a temporary folder.

        Same clips, same settings, same seed; the run's own head comes to the run's own figures.

        Args:
            names: of `--model.cell` and `--model.head`, as `actionrnn compare --heads` has them.
        """
        folder = Path(mkdtemp())
        results, _ = compare_heads(
            self.trained.settings(), names, [self.trained.data.split], folder, quiet=True
        )
        return {each.head: Run.load(run_folder_of(each.best)) for each in results}

    def _json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        content: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return content
