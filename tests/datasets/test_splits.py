"""Groups stay whole, classes stay even, the seed decides."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionrnn.datasets.content_hash import groups_with_equal_files
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.splits import (
    carve,
    carve_val,
    fold_columns,
    fraction_column,
    grouped_folds,
    inner_folds,
    set_aside,
)


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


def test_inner_folds_hold_no_test_clip_and_validate_every_other_one_once() -> None:
    labels, groups = clips(2)
    table = pd.DataFrame({"video_id": [f"c{row}" for row in range(len(labels))]})
    table = table.assign(path="a/" + table["video_id"], label=labels, group=groups)
    manifest = Manifest(
        Path("/data"),
        table.assign(**fold_columns(labels, groups, 5, val=0.2)),
        sorted(set(labels)),
    )
    inner = inner_folds(manifest, "split3", 4)
    own = manifest.table[manifest.table["split3"] != "test"]
    assert inner.table["video_id"].tolist() == own["video_id"].tolist()
    assert inner.splits == ["split1", "split2", "split3", "split4"]
    assert inner.video_paths() == [Path("/data") / path for path in own["path"]]
    for column in inner.splits:
        inner.check_split(column)
        assert set(inner.table[column]) == {"train", "val"}
    assert ((inner.table[inner.splits] == "val").sum(axis=1) == 1).all()
    with pytest.raises(ManifestError, match="cannot make 99 folds"):
        inner_folds(manifest, "split3", 99)
    with pytest.raises(ManifestError, match="no split column '3'; it has split1"):
        inner_folds(manifest, "3", 4)


@pytest.mark.parametrize("seed", range(5))
def test_inner_folds_keep_equal_files_together(seed: int) -> None:
    """Two recordings share a file, as `prepare` allows: the folds inside must not be refused."""
    labels, groups = clips(seed)
    table = pd.DataFrame({"video_id": [f"c{row}" for row in range(len(labels))]})
    content = [""] * len(labels)
    for first in (0, 40, 80):
        content[first] = content[first + 30] = f"{first}"
    table = table.assign(path="a/" + table["video_id"], label=labels, group=groups)
    whole = Manifest(Path("/data"), table.assign(content=content), sorted(set(labels)))
    joined = groups_with_equal_files(whole.table)
    split = whole.table.assign(**fold_columns(labels, joined, 3, val=0.2, seed=seed))
    manifest = Manifest(whole.root, split, whole.class_names)
    for column in manifest.splits:
        manifest.check_split(column)
        inner = inner_folds(manifest, column, 4, seed)
        for inside in inner.splits:
            inner.check_split(inside)


def test_what_cannot_be_split_is_said() -> None:
    with pytest.raises(ManifestError, match=r"too few groups .*: rare \(1\)"):
        grouped_folds(["a", "a", "rare"], ["g1", "g2", "g1"], 2)
    with pytest.raises(ManifestError, match="2 groups cannot make 5 folds"):
        grouped_folds(["a", "a"], ["g1", "g2"], 5)
    with pytest.raises(ManifestError, match=r"no class has more than 2 clips.* at most 2 folds"):
        grouped_folds(["a", "a", "b", "b"], ["g1", "g2", "g3", "g4"], 3)
    with pytest.raises(ValueError, match="cannot be split off"):
        carve(["a", "a"], ["g1", "g2"], 1.5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.3, 0.5]), st.integers(2, 40))
def test_what_is_carved_is_whole_groups_close_to_the_share(
    seed: int, fraction: float, num_groups: int
) -> None:
    labels, groups = clips(seed, num_groups)
    taken = carve(labels, groups, fraction, seed)
    by_group: dict[str, set[bool]] = {}
    for group, is_taken in zip(groups, taken.tolist(), strict=True):
        by_group.setdefault(group, set()).add(is_taken)
    assert all(len(sides) == 1 for sides in by_group.values())
    for label in set(labels):
        share = taken[np.array(labels) == label].mean()
        assert 0 < share < 1
        if num_groups >= 20:
            assert abs(share - fraction) < 0.1
    assert np.array_equal(taken, carve(labels, groups, fraction, seed))


def test_the_last_group_of_a_class_is_never_carved() -> None:
    labels = ["a"] * 9 + ["b"] * 3
    groups = ["g1"] * 3 + ["g2"] * 3 + ["g3"] * 3 + ["only"] * 3
    taken = carve(labels, groups, 0.5)
    assert not taken[9:].any()
    assert taken[:9].any()


def test_large_sets_are_carved_in_seconds() -> None:
    labels = [f"class {row % 400}" for row in range(40_000)]
    taken = carve(labels, [""] * len(labels), 0.05)
    assert abs(taken.mean() - 0.05) < 0.005


def test_one_split_by_fractions() -> None:
    labels, groups = clips(2, num_groups=40)
    column = np.array(fraction_column(labels, groups, val=0.2, test=0.3))
    assert abs((column == "test").mean() - 0.3) < 0.05
    assert abs((column == "val").mean() - 0.2) < 0.05
    assert "val" not in fraction_column(labels, groups, val=0, test=0.3)
    for val, test in ((0.5, 0.5), (-0.1, 0.2), (0.1, 0)):
        with pytest.raises(ValueError, match="test must be above 0"):
            fraction_column(labels, groups, val, test)


def test_val_is_carved_from_train_alone_and_only_once() -> None:
    labels, groups = clips(4)
    given = ["test" if group in ("g0", "g1") else "train" for group in groups]
    column = carve_val({"split1": given}, labels, groups, 0.2)["split1"]
    assert [a for a, b in zip(column, given, strict=True) if b == "test"] == ["test"] * given.count(
        "test"
    )
    assert set(column) == {"train", "val", "test"}
    assert carve_val({"a": column}, labels, groups, 0.2, seed=9) == {"a": column}
    assert carve_val({"a": given}, labels, groups, 0.0) == {"a": given}


@pytest.mark.parametrize("num_groups", [10, 44])
def test_groups_take_turns_in_validating_the_folds(num_groups: int) -> None:
    """With one seed for all folds, the same two groups would validate nearly every one."""
    labels, groups = ["a", "b", "c"] * 2 * num_groups, np.repeat(np.arange(num_groups), 6)
    columns = fold_columns(labels, [f"g{group}" for group in groups], 10, val=0.2)
    times = [
        sum("val" in np.array(split)[groups == group] for split in columns.values())
        for group in range(num_groups)
    ]
    assert max(times) - min(times) <= 1
    assert sum(times) >= 10


def test_leaking_training_clips_are_set_aside() -> None:
    column = ["train", "train", "test", "val", "train", "unused"]
    groups = ["a", "b", "a", "c", "c", "a"]
    assert set_aside(column, groups) == (
        ["unused", "train", "test", "val", "unused", "unused"],
        [0, 4],
    )
    assert set_aside(["train", "test"], ["", ""]) == (["train", "test"], [])
