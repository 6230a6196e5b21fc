"""Where in the data a model fails: accuracy by any manifest column, and doubtful labels."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.evaluation.bootstrap import Interval, draw_weights, group_ids, interval
from actionrnn.evaluation.predictions import Predictions

MAX_VALUES = 200
_NUM_BINS = 4
_NOT_SLICES = ("video_id", "path", "label", "start_seconds", "end_seconds")
_Z = 1.959963984540054  # normal quantile of a 95 % interval


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


def accuracy_by(scored: Predictions, column: "pd.Series[Any]") -> list[dict[str, Any]]:
    """Accuracy of the clips of each value of a column, worst first; plain data.

    Args:
        scored: a predictions table.
        column: a value for each of its rows, as the manifest has them.

    Returns:
        For each value: `value, clips, groups, accuracy, interval` (bootstrap over groups, and
        never narrower than Wilson's for independent clips: slices may have two groups or one,
        and of one the interval speaks of that group alone), `below`: whether the interval lies
        wholly below that of all clips.
    """
    names, slice_N = np.unique(sliced(column).to_numpy(dtype=str), return_inverse=True)
    group_N = group_ids(scored.table)
    num_groups = int(group_N.max()) + 1
    right_N = torch.from_numpy(scored.table["correct"].to_numpy(dtype=float))
    at = (group_N, torch.from_numpy(slice_N))
    clips_GS = torch.zeros(num_groups, len(names), dtype=torch.float64)
    right_GS = clips_GS.index_put(at, right_N, accumulate=True)
    clips_GS = clips_GS.index_put(at, torch.ones_like(right_N), accumulate=True)
    weights_RG = draw_weights(num_groups)
    draws_RS = (weights_RG @ right_GS) / (weights_RG @ clips_GS)
    overall = interval(weights_RG @ right_GS.sum(1) / (weights_RG @ clips_GS.sum(1)), num_groups)
    rows = []
    for s, name in enumerate(names.tolist()):
        groups = int((clips_GS[:, s] > 0).sum())
        clips, right = int(clips_GS[:, s].sum()), int(right_GS[:, s].sum())
        bounds = _hull(wilson(right, clips), interval(draws_RS[:, s], groups))
        rows.append(
            {
                "value": name,
                "clips": clips,
                "groups": groups,
                "accuracy": right / clips,
                "interval": bounds,
                "below": bool(overall and bounds.high < overall.low),
            }
        )
    return sorted(rows, key=lambda row: (row["accuracy"], -row["clips"]))


def _hull(first: Interval, second: Interval | None) -> Interval:
    second = second or first
    return Interval(min(first.low, second.low), max(first.high, second.high))


def wilson(right: int, clips: int) -> Interval:
    """Wilson's 95 % interval of a share of independent clips (1927)."""
    share, z2 = right / clips, _Z**2 / clips
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / clips + z2 / (4 * clips)) / (1 + z2)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


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


def label_candidates(scored: Predictions) -> list[dict[str, Any]]:
    """Clips that may be labelled wrongly, the most doubtful first; plain data.

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
        {
            "video_id": str(table["video_id"].iloc[m]),
            "path": str(table["path"].iloc[m]),
            "label": str(names[label_M[m]]),
            "label_probability": float(own_M[m]),
            "suggested": str(names[best_M[m]]),
            "suggested_probability": float(best_probs_M[m]),
        }
        for m in order.tolist()
    ]
