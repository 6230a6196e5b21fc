"""Everything `metrics.json` says of a predictions table."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from actionrnn.evaluation.calibration import expected_calibration_error
from actionrnn.evaluation.figures import GroupedScores, grouped, mean_figures
from actionrnn.evaluation.intervals import Figure, Interval, draw_weights, figure, how_sure, once
from actionrnn.evaluation.predictions import Part, Predictions


@dataclass(frozen=True)
class ClassFigures:
    """One class: `accuracy` is its recall; None where no clip makes a figure.

    Attributes:
        missing: why there is no interval, where there is none.
    """

    label: str
    clips: int
    groups: int
    accuracy: float | None
    interval: Interval | None
    missing: str
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class Summary:
    """The figures of a part of a split.

    Attributes:
        subset: name of the part.
        part: how much of it was scored; None is all of it.
        leaked: see `Predictions`.
        metrics: what `classification_metrics` gives, the calibration error, and view accuracy
            where clips have several views.
        figures: the headline figures, each with its interval.
    """

    subset: str
    part: Part | None
    leaked: bool
    num_groups: int
    num_views: int
    temperature: float
    num_parameters: int | None
    metrics: dict[str, float]
    figures: dict[str, Figure]
    per_class: list[ClassFigures]

    @property
    def num_clips(self) -> int:
        """Clips that count, unreadable ones among them."""
        return int(self.metrics["num_clips"])

    @property
    def num_unreadable(self) -> int:
        """Clips that could not be read and are counted wrong."""
        return int(self.metrics["num_unreadable"])

    def frame(self) -> pd.DataFrame:
        """The headline figures: columns `value, low, high` (the interval; NaN without one)."""
        rows = {
            key: (each.value, *(each.interval or (math.nan, math.nan)))
            for key, each in self.figures.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in `metrics.json`."""
        return {
            "subset": self.subset,
            "part": asdict(self.part) if self.part else None,
            "leaked": self.leaked,
            **self.metrics,
            "num_groups": self.num_groups,
            "num_views": self.num_views,
            **how_sure(self.figures),
            "temperature": self.temperature,
            "num_parameters": self.num_parameters,
            "per_class": [asdict(each) for each in self.per_class],
        }


def summarise(scored: Predictions) -> Summary:
    """Every figure of a predictions table, with 95 % intervals over groups."""
    (scores,) = grouped([scored])
    ece = expected_calibration_error(scored.logits(), scored.targets())
    metrics = {**scored.metrics(), "ece": ece}
    if "view_accuracy" in scores.keys:
        views = scores.figures(once(scores.num_groups))
        metrics["view_accuracy"] = views["view_accuracy"].item()
    return Summary(
        subset=str(scored.table["split"].iloc[0]),
        part=scored.part,
        leaked=scored.leaked,
        num_groups=scores.num_groups,
        num_views=int(scored.about["num_views"]),
        temperature=float(scored.about["temperature"]),
        num_parameters=scored.about.get("num_parameters"),
        metrics=metrics,
        figures=mean_figures([scores], len(scored.table)),
        per_class=per_class(scores, scored.class_names),
    )


def per_class(scores: GroupedScores, class_names: list[str]) -> list[ClassFigures]:
    """For every class: clips, groups, accuracy (recall) with interval, precision, F1."""
    tallies = scores.tallies
    draws_RK = tallies.recall(draw_weights(scores.num_groups))
    groups_K = (tallies.support_GK > 0).sum(dim=0).tolist()
    sums = (tallies.support_GK, tallies.hits_GK, tallies.predicted_GK)
    rows = []
    for k, name in enumerate(class_names):
        support, hits, predicted = (int(each_GK[:, k].sum()) for each_GK in sums)
        recall = Figure(0.0, None, "no clip")
        if support:
            recall = figure(hits / support, draws_RK[:, k], groups_K[k], support)
        rows.append(
            ClassFigures(
                label=name,
                clips=support,
                groups=groups_K[k],
                accuracy=recall.value if support else None,
                interval=recall.interval,
                missing=recall.missing,
                precision=hits / predicted if predicted else None,
                f1=2 * hits / (support + predicted) if support else None,
            )
        )
    return rows
