"""Accuracy by column, and labels that look wrong."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from actionrnn.diagnosis.slices import (
    accuracy_by,
    check_columns,
    label_candidates,
    slice_columns,
    sliced,
)
from actionrnn.errors import ActionRNNError
from tests.conftest import MakePredictions


def test_slices_have_the_accuracy_of_their_clips(make_predictions: MakePredictions) -> None:
    scored = make_predictions(unreadable=4)
    camera = pd.Series(np.where(np.arange(120) % 3 == 0, "left", "right"))
    for row in accuracy_by(scored, camera):
        inside = scored.table[(camera == row.value).to_numpy()]
        assert row.accuracy == pytest.approx(inside["correct"].mean())
        assert row.clips == len(inside)
        assert row.groups == inside["group"].nunique()
        assert row.interval is not None
        assert row.interval.low <= row.accuracy <= row.interval.high


def test_a_slice_that_fails_is_named_first_and_marked(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_groups=24, skill=3.0)
    camera = pd.Series(np.where(np.arange(120) % 4 == 0, "broken", "fine"))
    table = scored.table.copy()
    table.loc[(camera == "broken").to_numpy(), "correct"] = False
    first, second = accuracy_by(replace(scored, table=table), camera)
    assert (first.value, first.below) == ("broken", True)
    assert (second.value, second.below) == ("fine", False)


def test_a_slice_of_one_group_has_no_interval_and_no_verdict(
    make_predictions: MakePredictions,
) -> None:
    """It had one that was narrower than that of four groups."""
    scored = make_predictions(num_groups=12)
    table = scored.table.assign(correct=scored.table["group"] != "g3")
    worst, *rows = accuracy_by(replace(scored, table=table), table["group"])
    assert (worst.value, worst.accuracy, worst.below) == ("g3", 0.0, False)
    for row in (worst, *rows):
        assert (row.groups, row.interval, row.missing) == (1, None, "1 group only")


def test_a_slice_of_few_groups_is_wider_than_one_of_many(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_clips=240, num_groups=24, skill=1.5)
    few = scored.table["group"].isin(["g0", "g1", "g2", "g3"])
    rows = {row.value: row for row in accuracy_by(scored, pd.Series(np.where(few, "few", "many")))}
    widths = []
    for name in ("few", "many"):
        bounds = rows[name].interval
        assert bounds is not None
        widths.append(bounds.high - bounds.low)
    assert widths[0] > 1.5 * widths[1]


def test_numbers_become_four_ranges_and_few_numbers_stay() -> None:
    speed = pd.Series([str(n / 10) for n in range(100)])
    assert sliced(speed).value_counts().tolist() == [25, 25, 25, 25]
    assert sliced(speed).iloc[0] == "0 to 2.475"
    assert set(sliced(pd.Series(["1", "2", "", "2"]))) == {"1", "2", "(empty)"}


def test_columns_worth_slicing_by() -> None:
    table = pd.DataFrame(
        {
            "video_id": [f"v{n}" for n in range(300)],
            "label": "a",
            "split1": "test",
            "group": [f"g{n % 5}" for n in range(300)],
            "subject": [f"s{n % 5}" for n in range(300)],  # the same parts as group
            "camera": "only",
            "note": [f"text {n}" for n in range(300)],
            "speed": [str(n / 7) for n in range(300)],
        }
    )
    assert slice_columns(table) == ["group", "speed"]
    assert check_columns(["camera"], table) == ["camera"]
    with pytest.raises(ActionRNNError, match="did you mean camera"):
        check_columns(["camara"], table)


def test_wrong_labels_are_found(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_clips=300, skill=9.0, unreadable=3)
    table, planted = scored.table.copy(), list(range(10, 300, 29))
    for row in planted:
        table.at[row, "label"] = f"class_{(int(str(table.at[row, 'label'])[-1]) + 1) % 6}"
    found = label_candidates(replace(scored, table=table))
    first = {candidate.video_id for candidate in found[: len(planted)]}
    assert first == {f"clip{row:03d}" for row in planted}
    assert all(c.suggested_probability > c.label_probability for c in found)
    assert label_candidates(replace(scored, table=table.iloc[:3])) == []
