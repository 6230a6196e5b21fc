"""The area under the ROC curve is scikit-learn's, for every weighting of the groups."""

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from actionrnn.evaluation.auc import weighted_auroc
from actionrnn.evaluation.intervals import draw_weights
from actionrnn.evaluation.summary import summarise
from actionrnn.training.metrics import auroc, classification_metrics
from tests.conftest import MakePredictions


def scores(num_clips: int, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_classes)
    target_N = torch.randint(num_classes, (num_clips,), generator=generator)
    logits_NK = torch.randn(num_clips, num_classes, generator=generator).double()
    logits_NK[torch.arange(num_clips), target_N] += 0.7
    group_N = torch.arange(num_clips) % 7
    half = num_clips // 2
    logits_NK[half:] = logits_NK[:half]  # ties, with other targets
    return logits_NK, target_N, group_N


def by_scikit_learn(logits_NK: Tensor, target_N: Tensor) -> float:
    probs_NK = logits_NK.softmax(dim=1)
    two = probs_NK.shape[1] == 2
    return float(roc_auc_score(target_N, probs_NK[:, 1] if two else probs_NK, multi_class="ovr"))


@pytest.mark.parametrize("num_classes", [2, 3, 8])
def test_the_area_agrees_with_scikit_learn(num_classes: int) -> None:
    logits_NK, target_N, group_N = scores(300, num_classes)
    expected = by_scikit_learn(logits_NK, target_N)
    assert auroc(logits_NK, target_N) == pytest.approx(expected, abs=1e-6)
    assert classification_metrics(logits_NK, target_N)["auc"] == auroc(logits_NK, target_N)
    once_1G = torch.ones(1, 7, dtype=torch.float64)
    assert weighted_auroc(logits_NK, target_N, group_N, once_1G).item() == pytest.approx(expected)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_draw_is_the_split_with_its_groups_repeated(num_classes: int) -> None:
    logits_NK, target_N, group_N = scores(200, num_classes)
    logits_NK[:6] = math.nan
    weights_RG = draw_weights(7, num_draws=5, seed=1)
    found_R = weighted_auroc(logits_NK, target_N, group_N, weights_RG)
    for draw, weights_G in enumerate(weights_RG):
        rows = torch.arange(200).repeat_interleave(weights_G[group_N].long())
        assert found_R[draw].item() == pytest.approx(
            auroc(logits_NK[rows], target_N[rows]), abs=1e-6
        )


def test_unreadable_clips_are_ranked_wrongly() -> None:
    target_N = torch.tensor([0, 0, 1, 1])
    logits_NK = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]])
    assert auroc(logits_NK, target_N) == 1.0
    logits_NK[3] = math.nan  # below both clips of class 0: 2 of the 4 pairs are wrong
    assert auroc(logits_NK, target_N) == 0.5
    logits_NK[0] = math.nan  # above both clips of class 1: 1 of 4 is right
    assert auroc(logits_NK, target_N) == 0.25


def test_one_class_alone_has_no_area(make_predictions: MakePredictions) -> None:
    assert math.isnan(auroc(torch.randn(5, 3), torch.ones(5, dtype=torch.long)))
    assert "auc" not in classification_metrics(torch.randn(5, 3), torch.ones(5, dtype=torch.long))
    single = make_predictions(num_clips=1)
    assert "auc" not in summarise(single).figures
    assert "auc" not in summarise(single).metrics


def test_the_summary_has_the_area_with_an_interval(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_classes=2, skill=1.0)
    summary = summarise(scored)
    found = summary.figures["auc"]
    assert found.interval is not None
    low, high = found.interval
    assert 0.5 < low < found.value < high < 1
    expected = by_scikit_learn(scored.logits(), scored.targets())
    assert found.value == pytest.approx(expected, abs=1e-6)


def test_many_classes_have_no_area(make_predictions: MakePredictions) -> None:
    summary = summarise(make_predictions(num_clips=150, num_classes=102))
    assert "auc" not in summary.metrics
    assert "auc" not in summary.figures
