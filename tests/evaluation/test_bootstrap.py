"""Figures from tallies are those of torchmetrics and scikit-learn; intervals cover."""

import math

import pandas as pd
import pytest
import torch
from actionrnn.evaluation.bootstrap import (
    Interval,
    Tallies,
    draw_weights,
    expanded_tail,
    group_ids,
    interval,
    student_t,
)
from scipy import stats
from sklearn.metrics import f1_score, recall_score, top_k_accuracy_score
from torch import Tensor

from actionrnn.evaluation.calibration import expected_calibration_error
from actionrnn.training.metrics import classification_metrics
from actionrnn.training.recognizer import clip_logits


def scores(num_clips: int, num_views: int, num_classes: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    target_N = torch.randint(num_classes, (num_clips,), generator=generator)
    logits = torch.randn(num_clips, num_views, num_classes, generator=generator).double()
    logits[torch.arange(num_clips), :, target_N] += 1.0
    logits[::17] = float("nan")
    group_N = torch.randint(9, (num_clips,), generator=generator)
    group_N[:9] = torch.arange(9)
    return logits, target_N, group_N


@pytest.mark.parametrize("num_classes", [2, 4, 12])
def test_weights_of_one_give_the_figures_of_the_split(num_classes: int) -> None:
    logits_NVK, target_N, group_N = scores(200, 3, num_classes)
    logits_NK = clip_logits(logits_NVK)
    tallies = Tallies.of(logits_NVK, logits_NK, target_N, group_N)
    found = tallies.figures(torch.ones(1, 9).double())
    expected = classification_metrics(logits_NK, target_N)
    for key in ("accuracy", "macro_accuracy", "top5_accuracy", "macro_f1"):
        assert found[key].item() == pytest.approx(expected[key], abs=1e-6)
    ece = expected_calibration_error(logits_NK, target_N)
    assert found["ece"].item() == pytest.approx(ece, abs=1e-6)
    readable_N = ~logits_NVK.isnan().any(dim=(1, 2))
    views_right = (logits_NVK.argmax(2) == target_N[:, None])[readable_N].sum() / (200 * 3)
    assert found["view_accuracy"].item() == pytest.approx(views_right.item())


def test_any_weighting_is_the_split_with_its_groups_repeated() -> None:
    logits_NVK, target_N, group_N = scores(150, 1, 7)
    logits_NK = clip_logits(logits_NVK)
    tallies = Tallies.of(logits_NVK, logits_NK, target_N, group_N)
    weights_RG = draw_weights(9, num_draws=5, seed=3)
    found = tallies.figures(weights_RG)
    for draw, weights_G in enumerate(weights_RG):
        rows = torch.arange(150).repeat_interleave(weights_G[group_N].long())
        truth, preds = target_N[rows], logits_NK[rows].argmax(1)
        preds[logits_NK[rows].isnan().any(1)] = 7
        present = truth.unique().numpy()
        options = {"labels": present, "average": "macro", "zero_division": 0}
        recall = recall_score(truth, preds, **options)
        assert found["macro_accuracy"][draw].item() == pytest.approx(recall)
        assert found["macro_f1"][draw].item() == pytest.approx(f1_score(truth, preds, **options))
        readable = ~logits_NK[rows].isnan().any(1)
        top5 = top_k_accuracy_score(
            truth[readable], logits_NK[rows][readable], k=5, labels=range(7), normalize=False
        )
        assert found["top5_accuracy"][draw].item() == pytest.approx(top5 / len(rows))


def test_clips_without_a_group_are_groups_of_their_own() -> None:
    table = pd.DataFrame({"video_id": list("abcde"), "group": ["x", "", "x", "", "a"]})
    assert group_ids(table).tolist() == [0, 1, 0, 2, 3]


def test_draws_are_seeded_and_keep_the_number_of_groups() -> None:
    weights_RG = draw_weights(13, num_draws=450, seed=5)
    assert (weights_RG.sum(dim=1) == 13).all()
    assert torch.equal(weights_RG, draw_weights(13, num_draws=450, seed=5))
    assert not torch.equal(weights_RG, draw_weights(13, num_draws=450, seed=6))
    assert weights_RG.mean(dim=0).numpy() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 10, 100])
def test_student_t_agrees_with_scipy(degrees: int) -> None:
    assert student_t(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=5e-3)


def test_few_groups_widen_the_interval() -> None:
    assert expanded_tail(100_000) == pytest.approx(0.025, abs=1e-4)
    assert expanded_tail(8) == pytest.approx(0.0057, abs=2e-4)
    assert interval(torch.rand(100), num_groups=1) is None


def test_where_everything_is_right_the_interval_is_the_exact_binomial_one() -> None:
    exact = stats.binomtest(8, 8).proportion_ci(0.95, "exact")
    assert interval(torch.ones(500), 8) == Interval(pytest.approx(exact.low), 1.0)
    wrong = interval(torch.zeros(500), 8)
    assert wrong is not None
    assert wrong.high == pytest.approx(1 - exact.low)
    assert interval(torch.zeros(500), 8, is_share=False) == Interval(0.0, 0.0)


@pytest.mark.parametrize("num_groups", [6, 12, 40])
def test_intervals_cover_the_truth_where_clips_of_a_group_share_their_fate(
    num_groups: int,
) -> None:
    """400 simulated test sets of groups of 10 clips; an interval over clips covers far less."""
    generator = torch.Generator().manual_seed(num_groups)
    hard_SG = torch.distributions.Beta(7.0, 3.0)  # mean accuracy 0.7
    torch.manual_seed(num_groups)
    share_SG = hard_SG.sample((400, num_groups)).double()
    right_SG = torch.binomial(torch.full_like(share_SG, 10.0), share_SG, generator=generator)
    weights_RG = draw_weights(num_groups, num_draws=1000)
    covered = []
    for right_G in right_SG:
        bounds = interval((weights_RG @ right_G) / (10 * num_groups), num_groups)
        assert bounds is not None
        covered.append(bounds.low <= 0.7 <= bounds.high)
    assert 0.91 <= sum(covered) / len(covered) <= 0.99


def test_no_interval_is_made_of_draws_that_are_not_finite() -> None:
    assert interval(torch.full((10,), math.nan), 5) is None
