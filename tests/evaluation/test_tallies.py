"""Figures from tallies are those of torchmetrics and scikit-learn, for every weighting."""

import pytest
import torch
from sklearn.metrics import f1_score, recall_score, top_k_accuracy_score
from torch import Tensor

from actionrnn.evaluation.calibration import expected_calibration_error
from actionrnn.evaluation.intervals import draw_weights, once
from actionrnn.evaluation.tallies import Tallies
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
    tallies = Tallies.of(logits_NVK, logits_NK, target_N, group_N, 9)
    found = tallies.figures(once(9))
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
    tallies = Tallies.of(logits_NVK, logits_NK, target_N, group_N, 9)
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


def test_two_sets_of_groups_side_by_side_keep_their_figures() -> None:
    (first, *rest), (second, *others) = scores(150, 1, 7), scores(90, 1, 7, seed=1)
    tallies = [
        Tallies.of(logits, clip_logits(logits), *more, 9)
        for logits, more in ((first, rest), (second, others))
    ]
    both = tallies[0].beside(tallies[1])
    for place, alone in enumerate(tallies):
        weights_1G = torch.zeros(1, 18).double()
        weights_1G[0, 9 * place : 9 * place + 9] = 1.0
        for key, value in alone.figures(once(9)).items():
            assert both.figures(weights_1G)[key].item() == pytest.approx(value.item()), key


def test_noise_alone_makes_as_large_a_calibration_error_as_a_calibrated_model_has() -> None:
    """The measured error of models that are calibrated is all noise."""
    measured, noise = [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        logits_NK = 2 * torch.randn(120, 4, generator=generator).double()
        target_N = torch.multinomial(logits_NK.softmax(1), 1, generator=generator)[:, 0]
        group_N = torch.arange(120) % 30
        tallies = Tallies.of(logits_NK[:, None], logits_NK, target_N, group_N, 30)
        measured.append(tallies.figures(once(30))["ece"].item())
        noise.append(tallies.calibration_noise(draw_weights(30, 200)).mean().item())
    assert sum(noise) == pytest.approx(sum(measured), rel=0.1)
