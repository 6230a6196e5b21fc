"""Calibration error and temperature."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve

from actionrnn.evaluation.calibration import (
    calibration_figures,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def overconfident(factor: float, num_clips: int = 3000) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores that are right as often as they say, times a factor."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(num_clips, 5, generator=generator).double()
    target = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return factor * logits, target


def test_the_error_is_the_weighted_gap_of_scikit_learns_curve() -> None:
    logits, target = overconfident(2.0)
    confidence, preds = logits.softmax(1).max(1)
    right = (preds == target).numpy()
    share, mean_confidence = calibration_curve(right, confidence.numpy(), n_bins=15)
    counts, _ = np.histogram(confidence.numpy(), bins=np.linspace(0, 1, 16))
    expected = (np.abs(share - mean_confidence) * counts[counts > 0]).sum() / len(target)
    assert expected_calibration_error(logits, target) == pytest.approx(expected, abs=1e-6)
    bins = reliability(logits, target)
    assert [each.accuracy for each in bins] == pytest.approx(share)
    assert [each.confidence for each in bins] == pytest.approx(mean_confidence)
    assert sum(each.clips for each in bins) == len(target)


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_the_temperature_undoes_what_was_done(factor: float) -> None:
    logits, target = overconfident(factor)
    temperature = fit_temperature(logits, target)
    assert temperature == pytest.approx(factor, rel=0.1)

    def loss(t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / t, target))

    best = minimize_scalar(loss, bounds=(0.02, 50), method="bounded", options={"xatol": 1e-8})
    assert loss(temperature) <= best.fun + 1e-9
    before = calibration_figures(logits, target)
    after = calibration_figures(logits / temperature, target)
    assert after.accuracy == before.accuracy
    assert after.loss <= before.loss
    assert after.ece < 0.03


def test_unreadable_clips_have_no_confidence_and_are_wrong() -> None:
    logits, target = overconfident(1.0, 50)
    more = torch.cat([logits, torch.full((4, 5), float("nan")).double()])
    targets = torch.cat([target, torch.zeros(4, dtype=torch.long)])
    assert expected_calibration_error(more, targets) == expected_calibration_error(logits, target)
    assert fit_temperature(more, targets) == fit_temperature(logits, target)
    found, readable = calibration_figures(more, targets), calibration_figures(logits, target)
    assert found.readable_accuracy == readable.accuracy
    assert found.accuracy == pytest.approx(readable.accuracy * 50 / 54)
    assert (found.ece, found.confidence) == (readable.ece, readable.confidence)
    with pytest.raises(ValueError, match="no readable clip"):
        fit_temperature(more[-4:], targets[-4:])
