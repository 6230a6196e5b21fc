"""Everything a run folder holds, as the report reads it."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import summarise

DIAGNOSES = ("order", "bias", "calibration", "gradients")


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
    def summary(self) -> dict[str, Any]:
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
    def diagnostics(self) -> dict[str, dict[str, Any]]:
        """The diagnoses that were made."""
        found = {name: self._json(f"diagnostics/{name}.json") for name in DIAGNOSES}
        return {name: result for name, result in found.items() if result}

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
