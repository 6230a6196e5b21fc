"""Everything a run folder holds, as the report reads it."""

import json
import math
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from actionrnn.diagnosis.bias import BiasDiagnosis
from actionrnn.diagnosis.calibration import CalibrationDiagnosis
from actionrnn.diagnosis.gradients import GradientsDiagnosis
from actionrnn.diagnosis.order import OrderDiagnosis
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.records import load_record
from actionrnn.evaluation.summary import Summary, summarise

Diagnosis = TypeVar("Diagnosis")


def newest_run(root: Path | str) -> Path:
    """The run folder in or under `root` that was tested last.

    Raises:
        ActionRNNError: if no run there was tested.
    """
    found = list(Path(root).rglob("predictions.parquet"))
    if not found:
        raise ActionRNNError(
            f"no tested run in or under {root}; make one with `actionrnn demo`, or name "
            f"another folder"
        )
    return max(found, key=lambda file: file.stat().st_mtime).parent


@dataclass(frozen=True)
class RunFiles:
    """A run folder; only `predictions.parquet` must be there.

    Attributes:
        folder: the run folder.
        predictions: its predictions table.
    """

    folder: Path
    predictions: Predictions

    @classmethod
    def load(cls, folder: Path) -> "RunFiles":
        """Open a run folder.

        Raises:
            ActionRNNError: if it has no predictions table, saying which command writes one.
        """
        return cls(folder, Predictions.load(folder))

    @property
    def name(self) -> str:
        """The last two parts of the path, `demo_lstm/2026-11-23_10-40-12`."""
        return "/".join(self.folder.resolve().parts[-2:])

    @property
    def checkpoint(self) -> str:
        """Path of the checkpoint that was tested."""
        known = self.folder / "checkpoints" / "best.ckpt"
        return str(self.predictions.about.get("ckpt_path") or known)

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

    @cached_property
    def order(self) -> OrderDiagnosis | None:
        """What `diagnose order` found, if it was asked; so the others."""
        return self._diagnosis(OrderDiagnosis, "order")

    @cached_property
    def bias(self) -> BiasDiagnosis | None:
        """What `diagnose bias` found."""
        return self._diagnosis(BiasDiagnosis, "bias")

    @cached_property
    def calibration(self) -> CalibrationDiagnosis | None:
        """What `diagnose calibration` found."""
        return self._diagnosis(CalibrationDiagnosis, "calibration")

    @cached_property
    def gradients(self) -> GradientsDiagnosis | None:
        """What `diagnose gradients` found."""
        return self._diagnosis(GradientsDiagnosis, "gradients")

    def _diagnosis(self, kind: type[Diagnosis], name: str) -> Diagnosis | None:
        file = self.folder / "diagnostics" / f"{name}.json"
        command = f"actionrnn diagnose {name} --ckpt_path {shlex.quote(self.checkpoint)}"
        return load_record(kind, file, command) if file.is_file() else None

    @cached_property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Each figure of `metrics.csv` by epoch (the first is 1); values not finite left out."""
        file = self.folder / "metrics.csv"
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

    def _json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        content: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return content
