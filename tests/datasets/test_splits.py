"""Groups stay whole, classes stay even, the seed decides."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from actionrnn.datasets.manifest import ManifestError
from actionrnn.datasets.splits import carve, fold_columns, grouped_folds


def clips(seed: int, num_groups: int = 30) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    labels, groups = [], []
    for group in range(num_groups):
        for label in ("walk", "run", "jump"):
            count = int(rng.integers(1, 6))
            labels += [label] * count
            groups += [f"g{group}"] * count
    return labels, groups


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_a_group_lies_in_one_fold_and_every_fold_has_every_class(seed: int, folds: int) -> None:
    labels, groups = clips(seed)
    fold = grouped_folds(labels, groups, folds, seed)
    assert all(len({f for f, g in zip(fold, groups, strict=True) if g == name}) == 1
               for name in set(groups))  # fmt: skip
    for number in range(folds):
        counts = Counter(label for label, f in zip(labels, fold, strict=True) if f == number)
        assert len(counts) == 3


def test_folds_are_as_even_as_scikit_learns() -> None:
    labels, groups = clips(3)
    target = np.array(labels)

    def unevenness(fold: np.ndarray) -> float:
        table = [[(target[fold == f] == c).sum() for c in set(labels)] for f in range(5)]
        return float(np.std(table, axis=0).sum())

    theirs = np.zeros(len(labels), dtype=int)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for number, (_, test) in enumerate(splitter.split(labels, labels, groups)):
        theirs[test] = number
    assert unevenness(grouped_folds(labels, groups, 5)) <= 1.5 * unevenness(theirs)


def test_the_seed_decides() -> None:
    labels, groups = clips(0)
    first = grouped_folds(labels, groups, 5, seed=1)
    assert np.array_equal(first, grouped_folds(labels, groups, 5, seed=1))
    assert not np.array_equal(first, grouped_folds(labels, groups, 5, seed=2))


def test_a_clip_without_a_group_is_its_own() -> None:
    fold = grouped_folds(["a", "b"] * 10, [""] * 20, 5)
    assert sorted(Counter(fold.tolist()).values()) == [4] * 5


def test_fold_columns_never_share_a_group() -> None:
    labels, groups = clips(1)
    columns = fold_columns(labels, groups, 5, val=0.2)
    tested: list[int] = []
    for split in columns.values():
        parts = {name: {g for g, s in zip(groups, split, strict=True) if s == name}
                 for name in ("train", "val", "test")}  # fmt: skip
        assert all(parts.values())
        assert not parts["train"] & parts["val"]
        assert not parts["train"] & parts["test"]
        assert not parts["val"] & parts["test"]
        tested += [row for row, name in enumerate(split) if name == "test"]
    assert sorted(tested) == list(range(len(labels))), "every clip is tested once"


def test_what_cannot_be_split_is_said() -> None:
    with pytest.raises(ManifestError, match=r"too few groups .*: rare \(1\)"):
        grouped_folds(["a", "a", "rare"], ["g1", "g2", "g1"], 2)
    with pytest.raises(ManifestError, match="2 groups cannot make 5 folds"):
        grouped_folds(["a", "a"], ["g1", "g2"], 5)
    with pytest.raises(ValueError, match="cannot be split off"):
        carve(["a", "a"], ["g1", "g2"], 1.5)
