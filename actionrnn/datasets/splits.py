"""Splits by whole groups, stratified by class, the same for the same seed everywhere."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.datasets.content_hash import groups_with_equal_files
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.groups import own_groups
from actionrnn.datasets.manifest import Manifest
from actionrnn.places import joined

# Random orders of the groups that are tried, and the average miss of a class that is good enough.
_ORDERS, _CLOSE_ENOUGH = 16, 0.01


def grouped_folds(
    labels: Sequence[str], groups: Sequence[str], num_folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """Fold of every clip, 0 <= fold < num_folds; the clips of a group share a fold.

    scikit-learn's StratifiedGroupKFold deals the groups out, the most uneven ones first, each to
    the fold that it leaves most even in every class. A clip with an empty group is a group of its
    own.

    Raises:
        ManifestError: if there are fewer groups than folds, or fewer clips of every class, or a
            class has clips in one group only, so that it cannot be both trained and tested.
    """
    # Takes a second to import, and is needed by few.
    from sklearn.model_selection import StratifiedGroupKFold

    counts_G, group_of = _class_counts(labels, groups)
    if num_folds < 2 or len(counts_G) < num_folds:
        raise ManifestError(
            f"{len(counts_G)} groups cannot make {num_folds} folds: a split needs at least 2 "
            f"folds and as many groups as folds"
        )
    require_two_groups(labels, groups)
    most = max(Counter(labels).values())
    if most < num_folds:
        raise ManifestError(
            f"{num_folds} folds are too many: no class has more than {most} clips, so that none "
            f"would be tested in every fold; at most {most} folds can be made"
        )
    # The seed orders the groups here: what NumPy's Generator draws is the same for every version
    # of scikit-learn, which takes groups of equal unevenness in the order of their numbers.
    order = np.random.default_rng(seed).permutation(len(counts_G))
    position = np.argsort(order)[group_of]
    fold = np.zeros(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        # Fewer clips of a class than folds: `lacking_classes` says where it is not tested.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        dealt = StratifiedGroupKFold(num_folds).split(fold, list(labels), position)
        for number, (_, tested) in enumerate(dealt):
            fold[tested] = number
    return fold


def carve(
    labels: Sequence[str],
    groups: Sequence[str],
    fraction: float,
    seed: int = 0,
    times_used: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """True for about `fraction` of the clips of every class, by whole groups.

    Groups come in random order; one is taken if that brings the classes closer to their share.
    A class left without any gets its smallest group. The last group of a class is never taken.
    Of a few such orders the one that comes closest wins.

    Args:
        labels: of the clips.
        groups: of the clips; a clip with an empty group is a group of its own.
        fraction: of every class.
        seed: of the orders.
        times_used: of every clip; groups that were used less often come first.

    Raises:
        ValueError: unless 0 < fraction < 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"a fraction of {fraction} cannot be split off: it must lie in 0 to 1")
    counts_G, group_of = _class_counts(labels, groups)
    used_G = np.zeros(len(counts_G), dtype=np.int64)
    if times_used is not None:
        np.maximum.at(used_G, group_of, times_used)
    rng = np.random.default_rng(seed)
    best, best_error = np.zeros(len(counts_G), dtype=np.bool_), float("inf")
    for _ in range(_ORDERS):
        order = rng.permutation(len(counts_G))
        order = order[np.argsort(used_G[order], kind="stable")]
        taken, error = _take(counts_G, fraction, order.tolist())
        if error < best_error - 1e-9:
            best, best_error = taken, error
        if best_error < _CLOSE_ENOUGH:
            break
    return np.asarray(best[group_of])


def _take(
    counts_G: list[Counter[str]], fraction: float, order: list[int]
) -> tuple[NDArray[np.bool_], float]:
    """Which groups are taken, and by how much the classes miss their share on average."""
    total: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for counts in counts_G:
        total.update(counts)
        left.update(counts.keys())
    have = dict.fromkeys(total, 0)
    taken = np.zeros(len(counts_G), dtype=np.bool_)

    def miss(name: str, extra: int = 0) -> float:
        return abs(fraction - (have[name] + extra) / total[name])

    def take(group: int) -> None:
        taken[group] = True
        for name, count in counts_G[group].items():
            have[name] += count
            left[name] -= 1

    def spare(group: int) -> bool:
        return not taken[group] and all(left[name] > 1 for name in counts_G[group])

    for group in order:
        gain = sum(miss(name) - miss(name, count) for name, count in counts_G[group].items())
        if gain > 1e-9 and spare(group):
            take(group)
    if not all(have.values()):
        for group in sorted(order, key=lambda group: sum(counts_G[group].values())):
            if any(not have[name] for name in counts_G[group]) and spare(group):
                take(group)
    return taken, sum(miss(name) for name in total) / max(len(total), 1)


def carve_val(
    columns: Mapping[str, Sequence[str]],
    labels: Sequence[str],
    groups: Sequence[str],
    fraction: float,
    seed: int = 0,
) -> dict[str, list[str]]:
    """Split columns in which `fraction` of train, by whole groups, has become val.

    Over the columns the groups take turns: one that validated an earlier column comes last, so
    that of many folds each validates with other groups, and none is kept from training in all.
    With a fraction of 0, or in a column that has val clips already, nothing changes.
    """
    times_used = np.zeros(len(labels), dtype=np.int64)
    result = {}
    for name, column in columns.items():
        parts = np.array(column, dtype=object)
        rows = np.flatnonzero(parts == "train").tolist()
        if fraction and len(rows) and "val" not in column:
            chosen = carve(
                [labels[row] for row in rows],
                [groups[row] for row in rows],
                fraction,
                seed,
                times_used[rows],
            )
            parts[np.array(rows)[chosen]] = "val"
        times_used += parts == "val"
        result[name] = parts.tolist()
    return result


def fraction_column(
    labels: Sequence[str], groups: Sequence[str], val: float, test: float, seed: int = 0
) -> list[str]:
    """One split column: `test` and `val` of all clips, the rest train.

    Raises:
        ManifestError: if a class has clips in one group only.
        ValueError: unless both are 0 or more and leave something to train on.
    """
    if val < 0 or not 0 < test < 1 or val + test >= 1:
        raise ValueError(f"val {val} and test {test}: test must be above 0, and both below 1")
    require_two_groups(labels, groups)
    split = np.where(carve(labels, groups, test, seed), "test", "train").tolist()
    return carve_val({"split1": split}, labels, groups, val / (1 - test), seed)["split1"]


def fold_columns(
    labels: Sequence[str], groups: Sequence[str], num_folds: int, val: float, seed: int = 0
) -> dict[str, list[str]]:
    """`split1` ... `splitK`: fold k is test, `val` of the other clips is val, the rest train."""
    fold = grouped_folds(labels, groups, num_folds, seed)
    columns = {
        f"split{number + 1}": np.where(fold == number, "test", "train").tolist()
        for number in range(num_folds)
    }
    return carve_val(columns, labels, groups, val, seed)


@dataclass(frozen=True)
class SplitPlan:
    """How splits are made where none is given: k folds, or one by fractions."""

    folds: int
    val: float
    test: float
    seed: int

    def columns(self, labels: Sequence[str], groups: Sequence[str]) -> dict[str, list[str]]:
        """See `fold_columns` and `fraction_column`."""
        if self.folds:
            return fold_columns(labels, groups, self.folds, self.val, self.seed)
        return {"split1": fraction_column(labels, groups, self.val, self.test, self.seed)}


def inner_folds(manifest: Manifest, column: str, num_folds: int, seed: int = 0) -> Manifest:
    """The train and val clips of one split alone, to choose settings with.

    Clips of equal files share a fold, as in the splits that `prepare` makes.

    Args:
        manifest: with the column, and `content` (see `with_content`).
        column: such as `split1`; its test clips are left out altogether.
        num_folds: K.
        seed: of `grouped_folds`.

    Returns:
        Paths are absolute; in `splitk` of 1 to K the k-th fold is val and the others train.

    Raises:
        ManifestError: if there is no such split; see `grouped_folds`.
    """
    chosen = manifest.split_values(column).isin(("train", "val"))
    table = manifest.table[chosen].reset_index(drop=True)
    groups = groups_with_equal_files(table)
    fold = grouped_folds(table["label"].tolist(), groups, num_folds, seed)
    root = manifest.root.resolve()
    table["path"] = [str(joined(root, path)) for path in table["path"]]
    table = table.drop(columns=manifest.splits)
    for number in range(num_folds):
        table[f"split{number + 1}"] = np.where(fold == number, "val", "train")
    return manifest.with_table(table)


def set_aside(column: Sequence[str], groups: Sequence[str]) -> tuple[list[str], list[int]]:
    """Make train clips `unused` whose group is also in val or test; test stays as published.

    Returns:
        The column, and the rows set aside. The empty group is nobody's.
    """
    held_out = {g for g, name in zip(groups, column, strict=True) if g and name in ("val", "test")}
    aside = [
        name == "train" and group in held_out for group, name in zip(groups, column, strict=True)
    ]
    return np.where(aside, "unused", column).tolist(), np.flatnonzero(aside).tolist()


def require_two_groups(labels: Sequence[str], groups: Sequence[str]) -> None:
    """Refuse a class that cannot be in both training and test.

    Raises:
        ManifestError: naming the classes and the number of their groups.
    """
    pairs = set(zip(labels, own_groups(groups), strict=True))
    num_groups = Counter(label for label, _ in pairs)
    poor = sorted(label for label, number in num_groups.items() if number < 2)
    if poor:
        raise ManifestError(
            f"classes with too few groups to be in both training and test: "
            f"{', '.join(f'{name} (1)' for name in poor[:10])}"
            f"{f' and {len(poor) - 10} more' if len(poor) > 10 else ''}. "
            f"Add recordings of them, merge or drop the class, or give finer groups"
        )


def _class_counts(
    labels: Sequence[str], groups: Sequence[str]
) -> tuple[list[Counter[str]], NDArray[np.int64]]:
    """Clips of each class in every group, and the group index of every clip."""
    group_of, names = pd.factorize(np.array(own_groups(groups), dtype=object))
    counts: list[Counter[str]] = [Counter() for _ in names]
    for label, number in zip(labels, group_of, strict=True):
        counts[number][label] += 1
    return counts, group_of
