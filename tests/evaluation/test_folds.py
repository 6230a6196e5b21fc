"""Several tested runs together: means, their intervals, paired differences."""

from dataclasses import replace

import numpy as np
import pytest

from actionrnn.errors import DataRejected
from actionrnn.evaluation.comparison import compare
from actionrnn.evaluation.folds import difference_over_folds, ensemble, mean_over_folds
from actionrnn.evaluation.summary import summarise
from tests.evaluation.conftest import MakePredictions


def test_the_mean_over_folds_counts_every_group_once(make_predictions: MakePredictions) -> None:
    folds = [make_predictions(num_classes=2, skill=1.0, seed=seed) for seed in (1, 2)]
    found = mean_over_folds(folds)
    for key in ("accuracy", "auc"):
        mean = sum(summarise(fold)[key] for fold in folds) / 2
        assert found[key]["mean"] == pytest.approx(mean, abs=1e-6)
        assert found[key]["interval"][0] < mean < found[key]["interval"][1]
    # The very same fold twice says nothing new: its interval stays as wide.
    twice, once = mean_over_folds([folds[0], folds[0]]), summarise(folds[0])["intervals"]
    assert twice["auc"]["interval"] == pytest.approx(once["auc"])


def test_disjoint_folds_narrow_the_interval(make_predictions: MakePredictions) -> None:
    folds = [make_predictions(num_classes=2, skill=1.0, seed=seed) for seed in (1, 2)]
    folds[1].table["group"] = "other_" + folds[1].table["group"]
    widths = [
        bounds[1] - bounds[0]
        for bounds in (
            mean_over_folds(folds)["auc"]["interval"],
            summarise(folds[0])["intervals"]["auc"],
        )
    ]
    assert widths[0] < widths[1]


def test_one_fold_is_a_plain_paired_comparison(make_predictions: MakePredictions) -> None:
    weak, strong = make_predictions(skill=0.5), make_predictions(skill=3.0)
    found = difference_over_folds([weak], [strong])
    plain = compare(weak, strong, ("weak", "strong"))["figures"]["accuracy"]
    assert found["difference"] == pytest.approx(plain["difference"])
    assert found["interval"] == pytest.approx(plain["interval"])
    assert found["verdict"] == "better"
    assert difference_over_folds([strong], [weak])["verdict"] == "worse"


def test_no_difference_is_noise_and_one_group_cannot_tell(
    make_predictions: MakePredictions,
) -> None:
    folds = [make_predictions(seed=seed) for seed in (1, 2)]
    assert difference_over_folds(folds, folds)["verdict"] == "noise"
    single = [make_predictions(num_groups=1)]
    assert difference_over_folds(single, single)["verdict"] == "?"


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
    assert summarise(found)["accuracy"] == pytest.approx(found.table["correct"].mean())
    with pytest.raises(DataRejected, match="the first run and another scored different clips"):
        ensemble([runs[0], make_predictions(num_clips=100)])


def test_folds_of_other_clips_are_refused(make_predictions: MakePredictions) -> None:
    with pytest.raises(DataRejected, match="different clips"):
        difference_over_folds([make_predictions()], [make_predictions(num_clips=100)])
