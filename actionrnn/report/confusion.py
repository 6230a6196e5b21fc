"""The confusion matrix, so that it stays readable at hundreds of classes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 30
ELSEWHERE = "others, or unread"


class Confusion(NamedTuple):
    """Clips of `label` taken for `pred`: how many, and which share of the label's clips."""

    label: str
    pred: str
    clips: int
    share: float


def top_confusions(counts: NDArray[np.int64], names: list[str]) -> list[Confusion]:
    """Every confusion of two classes that occurs, the most frequent first.

    Args:
        counts: `Predictions.confusions()`, (K, K + 1).
        names: of the K classes.
    """
    errors = counts[:, :-1].copy()
    np.fill_diagonal(errors, 0)
    totals = counts.sum(axis=1)
    pairs = [
        Confusion(
            names[row],
            names[column],
            int(errors[row, column]),
            float(errors[row, column] / totals[row]),
        )
        for row, column in np.argwhere(errors)
    ]
    return sorted(pairs, key=lambda pair: (-pair.clips, -pair.share))


def shown_matrix(counts: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """The classes to show, and their rows of the matrix.

    Args:
        counts: `Predictions.confusions()`, (K, K + 1).

    Returns:
        Of `shown_classes` n indices, and clips (n, n), or (n, n + 1) where some were taken for a
        class that is not shown, or not read: `ELSEWHERE`.
    """
    shown = shown_classes(counts)
    square = counts[shown][:, shown]
    elsewhere = counts[shown].sum(axis=1) - square.sum(axis=1)
    return shown, np.column_stack([square, elsewhere]) if elsewhere.any() else square


def shown_classes(counts: NDArray[np.int64], limit: int = MAX_CLASSES) -> list[int]:
    """The classes of the most frequent confusions, in an order that puts those next to each other.

    From the pair confused most, the class most confused with the last three comes next.
    """
    errors = counts[:, :-1].astype(float)
    np.fill_diagonal(errors, 0)
    mutual = errors + errors.T
    if len(mutual) <= limit:
        candidates = list(np.argsort(-mutual.sum(axis=1), kind="stable"))
    else:
        candidates = _of_pairs(mutual, limit)
    order = [candidates.pop(0)]
    while candidates:
        weights = mutual[np.ix_(candidates, order[-3:])] @ np.arange(1, len(order[-3:]) + 1)
        order.append(candidates.pop(int(weights.argmax())))
    return [int(k) for k in order]


def _of_pairs(mutual: NDArray[np.floating], limit: int) -> list[int]:
    """Classes of the pairs that are confused most, so that none stands without its other."""
    rows, columns = np.triu_indices(len(mutual), 1)
    found: dict[int, None] = {}
    for pair in np.argsort(-mutual[rows, columns], kind="stable"):
        found |= dict.fromkeys((int(rows[pair]), int(columns[pair])))
        if len(found) >= limit:
            break
    return list(found)[:limit]
