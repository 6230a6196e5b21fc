"""Paired differences: what is noise, what is not, and what must not be compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from actionrnn.errors import DataRejected
from actionrnn.evaluation.paired import compare, short_names
from tests.conftest import MakePredictions

NAMES = ("one", "two")


def test_a_run_against_itself_is_no_more_than_noise(make_predictions: MakePredictions) -> None:
    same = make_predictions()
    for figure in compare([same], [same], NAMES).figures.values():
        assert figure.difference == 0
        assert figure.interval == (0, 0)
        assert figure.p == 1
        assert figure.verdict == "noise"


def test_a_better_run_is_more_than_noise_and_the_difference_has_a_sign(
    make_predictions: MakePredictions,
) -> None:
    weak, strong = make_predictions(skill=0.5), make_predictions(skill=3.0)
    found = compare([weak], [strong], NAMES).figures["accuracy"]
    assert found.difference == pytest.approx(found.second - found.first)
    assert found.interval is not None
    assert found.interval.low > 0
    assert found.p < 0.01
    assert found.verdict == "better"
    assert compare([strong], [weak], NAMES).figures["accuracy"].verdict == "worse"


def test_a_lower_calibration_error_is_better(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_clips=600, num_groups=30, skill=2.0)
    # Of noise with deviation 1 and a shift of 2, twice the scores are the true log odds.
    honest, sure = (scored.rescored(times * scored.logits()) for times in (2, 20))
    found = compare([honest], [sure], NAMES).figures
    assert found["ece"].difference > 0
    assert found["ece"].verdict == "worse"
    assert found["accuracy"].verdict == "noise"


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
    found = compare([first], [replace(first, table=better)], NAMES)
    assert (found.only_first_right, found.only_second_right) == (0, len(fixed))
    assert found.figures["accuracy"].verdict == "better"


def test_rows_are_matched_by_id_not_by_place(make_predictions: MakePredictions) -> None:
    first = make_predictions()
    shuffled = replace(first, table=first.table.sample(frac=1, random_state=0))
    assert compare([first], [shuffled], NAMES).figures["accuracy"].interval == (0, 0)


def test_other_clips_labels_and_classes_are_refused_by_name(
    make_predictions: MakePredictions,
) -> None:
    first = make_predictions()
    fewer = replace(first, table=first.table.iloc[2:])
    with pytest.raises(DataRejected, match=r"2 of 120 are in one alone \(clip000, clip001\)"):
        compare([first], [fewer], NAMES)
    with pytest.raises(DataRejected, match="in two alone"):
        compare([fewer], [first], NAMES)
    relabelled = first.table.copy()
    relabelled.loc[5, "label"] = "class_0" if relabelled.at[5, "label"] != "class_0" else "class_1"
    with pytest.raises(DataRejected, match=r"other labels to 1 clips \(clip005\)"):
        compare([first], [replace(first, table=relabelled)], NAMES)
    with pytest.raises(DataRejected, match="their order"):
        compare([first], [replace(first, class_names=first.class_names[::-1])], NAMES)


@pytest.mark.parametrize("num_groups", [1, 2, 5])
def test_few_groups_cannot_tell_however_large_the_difference(
    make_predictions: MakePredictions, num_groups: int
) -> None:
    weak = make_predictions(num_groups=num_groups, skill=0.0)
    strong = make_predictions(num_groups=num_groups, skill=9.0)
    for figure in compare([weak], [strong], NAMES).figures.values():
        assert figure.verdict == "?"
        assert figure.p >= 2.0 ** (1 - num_groups)
        assert (figure.interval is None) == (num_groups < 3)


def test_six_groups_can(make_predictions: MakePredictions) -> None:
    weak, strong = (make_predictions(num_groups=6, skill=skill) for skill in (0.0, 9.0))
    found = compare([weak], [strong], NAMES).figures["accuracy"]
    assert (found.verdict, found.p) == ("better", 2.0**-5)


def test_runs_of_folds_are_compared_by_their_means(make_predictions: MakePredictions) -> None:
    weak, strong = (
        [make_predictions(seed=seed, skill=skill) for seed in (1, 2)] for skill in (0.5, 3.0)
    )
    found = compare(weak, strong, NAMES).figures["accuracy"]
    each = [compare([a], [b], NAMES).figures["accuracy"] for a, b in zip(weak, strong, strict=True)]
    assert found.difference == pytest.approx(sum(one.difference for one in each) / 2)
    assert found.verdict == "better"
    # The very same runs twice say nothing new.
    twice = compare([weak[0]] * 2, [strong[0]] * 2, NAMES).figures["accuracy"]
    assert twice.interval == pytest.approx(each[0].interval)
    assert twice.p == each[0].p


def test_names_lose_what_they_share() -> None:
    paths = [Path("runs/a/1/predictions.parquet"), Path("runs/b/1/predictions.parquet")]
    assert short_names(paths) == ["a", "b"]
    assert short_names([Path("runs/a"), Path("runs/a")]) == ["a", "a"]
