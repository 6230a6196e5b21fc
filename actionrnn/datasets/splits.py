"""Splits by whole groups, stratified by class, the same for the same seed everywhere."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actionrnn.datasets.manifest import ManifestError


def grouped_folds(
    labels: Sequence[str], groups: Sequence[str], num_folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """Fold of every clip, 0 <= fold < num_folds; the clips of a group share a fold.

    Groups are dealt out one by one, those with the most uneven classes first, each to the fold
    that it leaves most even in every class (the greedy rule of scikit-learn's
    StratifiedGroupKFold). A clip with an empty group is a group of its own.

    Raises:
        ManifestError: if there are fewer groups than folds, or a class has clips in one group
            only, so that it cannot be both trained and tested.
    """
    counts_GC, group_of = _counts(labels, groups)
    if num_folds < 2 or len(counts_GC) < num_folds:
        raise ManifestError(
            f"{len(counts_GC)} groups cannot make {num_folds} folds: a split needs at least 2 "
            f"folds and as many groups as folds"
        )
    _require_two_groups(sorted(set(labels)), counts_GC)
    order = np.random.default_rng(seed).permutation(len(counts_GC))
    order = order[np.argsort(-counts_GC[order].std(axis=1), kind="stable")]
    share_C = counts_GC.sum(axis=0)
    filled_FC = np.zeros((num_folds, counts_GC.shape[1]))
    fold_of_group = np.zeros(len(counts_GC), dtype=np.int64)
    for group in order:
        fold_of_group[group] = _most_even(filled_FC, counts_GC[group], share_C)
        filled_FC[fold_of_group[group]] += counts_GC[group]
    return fold_of_group[group_of]


def carve(
    labels: Sequence[str], groups: Sequence[str], fraction: float, seed: int = 0
) -> NDArray[np.bool_]:
    """True for about `fraction` of the clips, by whole groups, stratified by class.

    Raises:
        ManifestError: if the groups are too few for it.
        ValueError: unless 0 < fraction <= 0.5.
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"a fraction of {fraction} cannot be split off: 0 < fraction <= 0.5")
    num_groups = len(_counts(labels, groups)[0])
    num_folds = min(round(1 / fraction), num_groups)
    return grouped_folds(labels, groups, num_folds, seed) == 0


def fold_columns(
    labels: Sequence[str], groups: Sequence[str], num_folds: int, val: float, seed: int = 0
) -> dict[str, list[str]]:
    """`split1` ... `splitK`: fold k is test, `val` of the other clips is val, the rest train."""
    fold = grouped_folds(labels, groups, num_folds, seed)
    columns = {}
    for number in range(num_folds):
        split = np.where(fold == number, "test", "train").astype(object)
        rest = np.flatnonzero(fold != number)
        chosen = carve([labels[i] for i in rest], [groups[i] for i in rest], val, seed)
        split[rest[chosen]] = "val"
        columns[f"split{number + 1}"] = split.tolist()
    return columns


def _counts(
    labels: Sequence[str], groups: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clips per group and class, and the group index of every clip."""
    names = [group or f"\0{row}" for row, group in enumerate(groups)]
    group_index = {name: index for index, name in enumerate(dict.fromkeys(names))}
    label_index = {name: index for index, name in enumerate(sorted(set(labels)))}
    group_of = np.array([group_index[name] for name in names])
    counts_GC = np.zeros((len(group_index), len(label_index)), dtype=np.int64)
    np.add.at(counts_GC, (group_of, [label_index[label] for label in labels]), 1)
    return counts_GC, group_of


def _require_two_groups(classes: list[str], counts_GC: NDArray[np.int64]) -> None:
    groups_C = (counts_GC > 0).sum(axis=0)
    poor = [f"{classes[c]} ({groups_C[c]})" for c in np.flatnonzero(groups_C < 2)]
    if poor:
        raise ManifestError(
            f"classes with too few groups to be in both training and test: {', '.join(poor)}. "
            f"Add recordings of them, merge or drop the class, or give a group per clip"
        )


def _most_even(
    filled_FC: NDArray[np.float64], added_C: NDArray[np.int64], share_C: NDArray[np.int64]
) -> int:
    """The fold that `added_C` leaves most even; among equals the one with the fewest clips."""
    spread = []
    for fold in range(len(filled_FC)):
        filled_FC[fold] += added_C
        spread.append(float((filled_FC / share_C).std(axis=0).mean()))
        filled_FC[fold] -= added_C
    best = min(spread)
    equal = [fold for fold, value in enumerate(spread) if value <= best + 1e-12]
    return min(equal, key=lambda fold: float(filled_FC[fold].sum()))
