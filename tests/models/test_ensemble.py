"""Several seeds as one head: their mean probability, with every promise of a head."""

import pytest
import torch

from actionrnn.errors import ActionRNNError
from actionrnn.models.config import HeadConfig
from actionrnn.models.ensemble import Ensemble
from actionrnn.models.heads import Head, build_head

CONFIGS = [
    HeadConfig(cell="lstm", hidden_size=8, num_layers=2, inputs="features,delta3"),
    HeadConfig(cell="mingru", hidden_size=8, pooling="attention"),
    HeadConfig(cell="gru", hidden_size=8, pooling="mean", inputs="abs_delta", grid_pooling="max"),
    HeadConfig(head="mean_pool"),
]


def make(config: HeadConfig) -> tuple[Ensemble, list[Head]]:
    torch.manual_seed(0)
    heads = [build_head(config, 8, 5, 4).eval() for _ in range(3)]
    return Ensemble(heads).eval(), heads


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.head + config.cell)
def test_it_says_the_mean_probability_of_its_members_at_every_frame(config: HeadConfig) -> None:
    ensemble, heads = make(config)
    features_BTD, lengths_B = torch.randn(4, 9, 8), torch.tensor([9, 1, 5, 3])
    whole = ensemble(features_BTD, lengths_B)
    each = [head(features_BTD, lengths_B) for head in heads]
    for key in ("logits_BK", "logits_BTK"):
        wanted = torch.stack([getattr(out, key).softmax(-1) for out in each]).mean(dim=0)
        torch.testing.assert_close(getattr(whole, key).exp(), wanted)
    reduced = ensemble.inputs.reduce(features_BTD, lengths_B)
    assert torch.equal(ensemble.forward_reduced(reduced, lengths_B).logits_BK, whole.logits_BK)
    state = None
    for t in range(9):
        logits_BK, state = ensemble.step(features_BTD[:, t], state)
        alive_B = lengths_B > t
        torch.testing.assert_close(
            logits_BK[alive_B], whole.logits_BTK[alive_B, t], rtol=1e-4, atol=2e-6
        )


def test_padding_and_batch_mates_change_nothing() -> None:
    ensemble, _ = make(CONFIGS[0])
    features_BTD, lengths_B = torch.randn(3, 9, 8), torch.tensor([9, 2, 5])
    whole = ensemble(features_BTD, lengths_B).logits_BK
    padded = torch.cat([features_BTD, torch.full((3, 4, 8), float("nan"))], dim=1)
    torch.testing.assert_close(ensemble(padded, lengths_B).logits_BK, whole)
    alone = ensemble(features_BTD[1:2, :2], lengths_B[1:2]).logits_BK
    torch.testing.assert_close(alone, whole[1:2], rtol=1e-4, atol=2e-6)


def test_gates_are_those_of_one_seed() -> None:
    ensemble, heads = make(CONFIGS[0])
    with pytest.raises(ActionRNNError, match="look at a single seed, --ckpt_path RUN/seed0"):
        ensemble.trace(torch.randn(1, 3, 8), torch.tensor([3]))
    assert ensemble.num_parameters == 3 * heads[0].num_parameters
    assert ensemble.macs(9) == 3 * heads[0].macs(9)
