"""The training loss is what its settings say."""

import warnings

import pytest
import torch
from torch import nn

from actionrnn.training.batches import Batch
from actionrnn.training.mixup import mixup
from actionrnn.training.recognizer import ActionRecognizer


def make(**options: object) -> ActionRecognizer:
    model = ActionRecognizer(hidden_size=4, dropout=0.0, **options)
    model.build(3, ["a", "b", "c"])
    return model.train()


def make_batch() -> Batch:
    torch.manual_seed(4)
    features_BVTD = torch.randn(6, 1, 5, 3)
    return Batch(
        features_BVTD, torch.full((6, 1), 5), torch.tensor([0, 1, 2, 2, 1, 0]), torch.arange(6)
    )


def step(model: ActionRecognizer) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no Trainer to log to
        return model.training_step(make_batch(), 0)


def test_label_smoothing_spreads_probability_over_all_classes() -> None:
    model, batch = make(label_smoothing=0.3), make_batch()
    log_probs_BK = model.head(batch.features_BVTD[:, 0], batch.lengths_BV[:, 0]).logits_BK
    log_probs_BK = log_probs_BK.log_softmax(dim=1)
    own = nn.functional.nll_loss(log_probs_BK, batch.target_B)
    assert step(model).item() == pytest.approx((0.7 * own - 0.3 * log_probs_BK.mean()).item())


def test_class_weights_are_applied() -> None:
    model, batch = make(), make_batch()
    model._class_weights_K = torch.tensor([1.0, 2.0, 4.0])
    logits_BK = model.head(batch.features_BVTD[:, 0], batch.lengths_BV[:, 0]).logits_BK
    losses_B = nn.functional.cross_entropy(logits_BK, batch.target_B, reduction="none")
    weights_B = model._class_weights_K[batch.target_B]
    expected = (weights_B * losses_B).sum() / weights_B.sum()
    assert step(model).item() == pytest.approx(expected.item())


def test_mixup_trains_on_mixtures_and_their_shares() -> None:
    model, batch = make(mixup=0.4), make_batch()
    found = step(model)  # seeded by make_batch
    make_batch()
    mixed = mixup(batch.features_BVTD[:, 0], batch.lengths_BV[:, 0], 0.4)
    logits_BK = model.head(mixed.features_BTD, batch.lengths_BV[:, 0]).logits_BK
    own_B, other_B = (
        nn.functional.cross_entropy(logits_BK, target_B, reduction="none")
        for target_B in (batch.target_B, batch.target_B[mixed.partner_B])
    )
    expected = (mixed.share_B * own_B + (1 - mixed.share_B) * other_B).mean()
    assert found.item() == pytest.approx(expected.item())
    assert found.item() != pytest.approx(step(make()).item())


@pytest.mark.parametrize(
    ("name", "value"),
    [("mixup", -0.1), ("mixup", float("inf")), ("label_smoothing", 1.0), ("learning_rate", 0.0)],
)
def test_settings_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"--model\.{name} {value} is out of range"):
        make(**{name: value})


def test_settings_are_plain_data_that_build_the_same_model() -> None:
    options = make(mixup=0.2, label_smoothing=0.1).options()
    assert ActionRecognizer(**options).options() == options
