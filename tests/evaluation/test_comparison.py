"""Paired differences: what is noise, what is not, and what must not be compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from actionrnn.errors import DataRejected
from actionrnn.evaluation.comparison import (
    compare,
    print_comparison,
    sentences,
    short_names,
    verdict,
)
from tests.evaluation.conftest import MakePredictions

NAMES = ("one", "two")


def test_a_run_against_itself_is_no_more_than_noise(make_predictions: MakePredictions) -> None:
    same = make_predictions()
    for figure in compare(same, same, NAMES)["figures"].values():
        assert figure["difference"] == 0
        assert figure["interval"] == [0, 0]
        assert not figure["more_than_noise"]


def test_a_better_run_is_more_than_noise_and_the_difference_has_a_sign(
    make_predictions: MakePredictions, capsys: pytest.CaptureFixture[str]
) -> None:
    weak, strong = make_predictions(skill=0.5), make_predictions(skill=3.0)
    found = compare(weak, strong, NAMES)
    accuracy = found["figures"]["accuracy"]
    assert accuracy["difference"] == pytest.approx(accuracy["second"] - accuracy["first"])
    assert accuracy["interval"][0] > 0
    assert verdict("accuracy", found) == "better"
    assert verdict("accuracy", compare(strong, weak, NAMES)) == "worse"
    print_comparison(found)
    assert "B is better, by more than noise, in clip accuracy" in capsys.readouterr().out


def test_pairing_sees_what_two_separate_intervals_cannot(
    make_predictions: MakePredictions,
) -> None:
    first = make_predictions(num_groups=12, skill=1.2)
    better = first.table.copy()
    wrong = first.table.index[~first.table["correct"]].tolist()
    fixed = [wrong[i] for i in range(0, len(wrong), 6)]
    for row in fixed:
        index = first.class_names.index(str(better.at[row, "label"]))
        raised = better.at[row, "logits"].copy()
        raised[index] += 20
        better.at[row, "logits"] = better.at[row, "view_logits"] = raised
        better.at[row, "correct"] = True
    found = compare(first, replace(first, table=better), NAMES)
    assert found["only_second_right"] == len(fixed)
    assert found["figures"]["accuracy"]["more_than_noise"]


def test_rows_are_matched_by_id_not_by_place(make_predictions: MakePredictions) -> None:
    first = make_predictions()
    shuffled = replace(first, table=first.table.sample(frac=1, random_state=0))
    assert compare(first, shuffled, NAMES)["figures"]["accuracy"]["interval"] == [0, 0]


def test_other_clips_labels_and_classes_are_refused_by_name(
    make_predictions: MakePredictions,
) -> None:
    first = make_predictions()
    fewer = replace(first, table=first.table.iloc[2:])
    with pytest.raises(DataRejected, match=r"2 of 120 are in one alone \(clip000, clip001\)"):
        compare(first, fewer, NAMES)
    with pytest.raises(DataRejected, match="in two alone"):
        compare(fewer, first, NAMES)
    relabelled = first.table.copy()
    relabelled.loc[5, "label"] = "class_0" if relabelled.at[5, "label"] != "class_0" else "class_1"
    with pytest.raises(DataRejected, match=r"other labels to 1 clips \(clip005\)"):
        compare(first, replace(first, table=relabelled), NAMES)
    with pytest.raises(DataRejected, match="their order"):
        compare(first, replace(first, class_names=first.class_names[::-1]), NAMES)


def test_one_group_cannot_tell(make_predictions: MakePredictions) -> None:
    weak = make_predictions(num_groups=1, skill=1.0)
    strong = make_predictions(num_groups=1, skill=9.0)
    found = compare(weak, strong, NAMES)
    assert verdict("accuracy", found) == "?"
    assert sentences(found)[0].startswith("one group alone cannot tell")


def test_names_lose_what_they_share() -> None:
    paths = [Path("runs/a/1/predictions.parquet"), Path("runs/b/1/predictions.parquet")]
    assert short_names(paths) == ["a", "b"]
    assert short_names([Path("runs/a"), Path("runs/a")]) == ["a", "a"]
