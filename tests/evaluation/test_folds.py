"""Several tested runs together: means, their intervals, paired differences."""

import math
from dataclasses import replace

import numpy as np
import pytest

from actionrnn.errors import DataRejected
from actionrnn.evaluation.folds import ensemble, mean_over_folds
from actionrnn.evaluation.paired import compare
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import summarise
from tests.conftest import MakePredictions


def test_the_mean_over_folds_counts_every_group_once(make_predictions: MakePredictions) -> None:
    folds = [make_predictions(num_classes=2, skill=1.0, seed=seed) for seed in (1, 2)]
    found = mean_over_folds(folds)
    for key in ("accuracy", "auc"):
        mean = sum(summarise(fold).metrics[key] for fold in folds) / 2
        bounds = found[key].interval
        assert bounds is not None
        assert found[key].value == pytest.approx(mean, abs=1e-6)
        assert bounds.low < mean < bounds.high
    # The very same fold twice says nothing new: its interval stays as wide.
    twice, once = mean_over_folds([folds[0], folds[0]]), summarise(folds[0]).figures
    for key, figure in once.items():
        assert twice[key].interval == pytest.approx(figure.interval, abs=1e-6), key


def test_disjoint_folds_narrow_the_interval(make_predictions: MakePredictions) -> None:
    folds = [make_predictions(num_classes=2, skill=1.0, seed=seed) for seed in (1, 2)]
    folds[1].table["group"] = "other_" + folds[1].table["group"]
    folds[1].table["video_id"] = "other_" + folds[1].table["video_id"]
    for key in ("accuracy", "auc"):
        together = mean_over_folds(folds)[key].interval
        alone = summarise(folds[0]).figures[key].interval
        assert together is not None
        assert alone is not None
        assert together.high - together.low < alone.high - alone.low


def test_an_ensemble_is_the_mean_of_probabilities(make_predictions: MakePredictions) -> None:
    runs = [make_predictions(seed=seed) for seed in (1, 2, 3)]
    for run in runs[1:]:  # the same clips with other scores
        run.table[["label", "group"]] = runs[0].table[["label", "group"]]
    shuffled = replace(runs[1], table=runs[1].table.sample(frac=1.0, random_state=0))
    found = ensemble([runs[0], shuffled, runs[2]])
    probs = np.mean([run.logits().softmax(dim=1).numpy() for run in runs], axis=0)
    for row, expected in zip(found.table.itertuples(), probs, strict=True):
        assert len(row.probs) in (0, len(expected))
        if len(row.probs):
            np.testing.assert_allclose(row.probs, expected, rtol=1e-5)
            assert row.pred == found.class_names[int(expected.argmax())]
            assert row.correct == (row.pred == row.label)
        else:
            assert (row.pred, row.correct) == ("", False)
    assert summarise(found).metrics["accuracy"] == pytest.approx(found.table["correct"].mean())
    with pytest.raises(DataRejected, match="the first run and another scored different clips"):
        ensemble([runs[0], make_predictions(num_clips=100)])


def test_folds_of_one_group_each_have_the_interval_of_their_groups(
    make_predictions: MakePredictions,
) -> None:
    """Leave one recording out: hardly a draw holds every fold."""
    names = [f"g{number}" for number in range(10)]
    first, second = (make_predictions(num_groups=10, skill=skill) for skill in (0.5, 3.0))

    def folds(whole: Predictions) -> list[Predictions]:
        table = whole.table
        return [
            replace(whole, table=table[table["group"] == name].reset_index(drop=True))
            for name in names
        ]

    found, expected = mean_over_folds(folds(first)), mean_over_folds([first])
    assert found["accuracy"].value == pytest.approx(expected["accuracy"].value)
    assert found["accuracy"].interval == pytest.approx(expected["accuracy"].interval)
    for each in found.values():
        assert each.interval is not None
        assert all(map(math.isfinite, each.interval))
    pair = compare(folds(first), folds(second), ("a", "b"))
    whole = compare([first], [second], ("a", "b"))
    assert pair.figures["accuracy"].interval == pytest.approx(whole.figures["accuracy"].interval)
    assert {each.verdict for each in pair.figures.values()} <= {"better", "worse", "noise"}
    assert pair.figures["accuracy"].verdict == "better"
