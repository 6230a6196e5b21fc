"""Where in the data a model fails: accuracy by any manifest column, and doubtful labels."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.evaluation.intervals import (
    MIN_GROUPS_FOR_VERDICT,
    Figure,
    Interval,
    draw_weights,
    figure,
    group_ids,
    once,
)
from actionrnn.evaluation.predictions import Predictions

MAX_VALUES = 200
_NUM_BINS = 4
_NOT_SLICES = ("video_id", "path", "label", "start_seconds", "end_seconds")


def slice_columns(table: pd.DataFrame) -> list[str]:
    """Manifest columns worth slicing by: `group` and the extra ones, with 2 to 200 values.

    Numbers of many values are sliced by ranges. A column that parts the clips just as one
    before it does is left out.
    """
    found: dict[tuple[int, ...], str] = {}
    for name in table.columns:
        if name not in _NOT_SLICES and not name.startswith("split"):
            codes, values = pd.factorize(sliced(table[name]))
            if 2 <= len(values) <= MAX_VALUES:
                found.setdefault(tuple(codes.tolist()), str(name))
    return list(found.values())


def sliced(column: "pd.Series[Any]") -> "pd.Series[str]":
    """A column's values as text; many different numbers become four equally frequent ranges.

    Clips without a value are `(empty)`.
    """
    text = column.astype(str).where(column.astype(str) != "", "(empty)")
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any() or numbers.nunique() <= 3 * _NUM_BINS:
        return text
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _NUM_BINS + 1)))
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return pd.Series([names[i] for i in place], index=column.index)


@dataclass(frozen=True)
class SliceAccuracy:
    """The clips of one value of a column.

    Attributes:
        value, clips, groups, accuracy: of the slice.
        interval: over its groups; None where they are too few, and `missing` says so.
        below: it lies wholly below that of all clips, and there are groups enough for a verdict.
    """

    value: str
    clips: int
    groups: int
    accuracy: float
    interval: Interval | None
    missing: str
    below: bool


@dataclass(frozen=True)
class LabelCandidate:
    """A clip that may be labelled wrongly, and what it rather looks like."""

    video_id: str
    path: str
    label: str
    label_probability: float
    suggested: str
    suggested_probability: float


def accuracy_by(scored: Predictions, column: "pd.Series[Any]") -> list[SliceAccuracy]:
    """Accuracy of the clips of each value of a column, worst first.

    Args:
        scored: a predictions table.
        column: a value for each of its rows, as the manifest has them.
    """
    names, slice_N = np.unique(sliced(column).to_numpy(dtype=str), return_inverse=True)
    group_N = group_ids(scored.table)
    num_groups = int(group_N.max()) + 1
    right_N = torch.from_numpy(scored.table["correct"].to_numpy(dtype=float))
    at = (group_N, torch.from_numpy(slice_N))
    none_GS = torch.zeros(num_groups, len(names), dtype=torch.float64)
    right_GS = none_GS.index_put(at, right_N, accumulate=True)
    clips_GS = none_GS.index_put(at, torch.ones_like(right_N), accumulate=True)
    weights_RG = torch.cat([once(num_groups), draw_weights(num_groups)])
    overall = _accuracy(right_GS.sum(1, keepdim=True), clips_GS.sum(1, keepdim=True), weights_RG)
    rows = []
    for s, name in enumerate(names.tolist()):
        found = _accuracy(right_GS[:, [s]], clips_GS[:, [s]], weights_RG)
        groups, bounds = int((clips_GS[:, s] > 0).sum()), found.interval
        below = False
        if groups >= MIN_GROUPS_FOR_VERDICT and bounds and overall.interval:
            below = bounds.high < overall.interval.low
        clips = int(clips_GS[:, s].sum())
        rows.append(SliceAccuracy(name, clips, groups, found.value, bounds, found.missing, below))
    return sorted(rows, key=lambda row: (row.accuracy, -row.clips))


def _accuracy(right_G1: Tensor, clips_G1: Tensor, weights_RG: Tensor) -> Figure:
    """Of the clips counted, with an interval over the groups that have some."""
    share_R = ((weights_RG @ right_G1) / (weights_RG @ clips_G1))[:, 0]
    groups, clips = int((clips_G1 > 0).sum()), int(clips_G1.sum())
    return figure(share_R[0].item(), share_R[1:], groups, clips)


def check_columns(columns: list[str], table: pd.DataFrame) -> list[str]:
    """The columns asked for, or all that are worth it.

    Raises:
        ActionRNNError: if the manifest lacks one, naming those like it.
    """
    for name in columns:
        if name not in table.columns:
            raise ActionRNNError(
                f"the manifest has no column {name!r}{near_miss(name, list(table.columns))}; "
                f"it has {', '.join(slice_columns(table))}"
            )
    return columns or slice_columns(table)


def label_candidates(scored: Predictions) -> list[LabelCandidate]:
    """Clips that may be labelled wrongly, the most doubtful first.

    Confident learning (Northcutt et al., JAIR 2021, arXiv 1911.00068): a clip is doubtful if
    another class is as probable as it usually is for clips of that class. Meant for clips that
    were not trained on.
    """
    table = scored.table[(scored.table["error"] == "").to_numpy()]
    if not len(table):
        return []
    probs_MK = np.stack(list(table["probs"]))
    names = np.array(scored.class_names, dtype=object)
    label_M = pd.Categorical(table["label"], categories=scored.class_names).codes
    usual_K = np.array(
        [
            probs_MK[label_M == k, k].mean() if (label_M == k).any() else np.inf
            for k in range(len(names))
        ]
    )
    own_M = probs_MK[np.arange(len(table)), label_M]
    others_MK = np.where(probs_MK >= usual_K, probs_MK, -np.inf)
    others_MK[np.arange(len(table)), label_M] = -np.inf
    best_M = others_MK.argmax(axis=1)
    best_probs_M = others_MK.max(axis=1)
    doubtful = np.flatnonzero(best_probs_M > own_M)
    order = doubtful[np.argsort(own_M[doubtful] - best_probs_M[doubtful], kind="stable")]
    return [
        LabelCandidate(
            video_id=str(table["video_id"].iloc[m]),
            path=str(table["path"].iloc[m]),
            label=str(names[label_M[m]]),
            label_probability=float(own_M[m]),
            suggested=str(names[best_M[m]]),
            suggested_probability=float(best_probs_M[m]),
        )
        for m in order.tolist()
    ]
