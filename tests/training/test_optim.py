"""Weight decay reaches matrices only."""

import torch

from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.training.optim import decay_groups


def test_biases_and_norms_are_not_decayed() -> None:
    config = HeadConfig(num_layers=2, layer_norm=True, input_norm="layer", pooling="attention")
    head = build_head(config, 6, 5)
    names = {id(parameter): name for name, parameter in head.named_parameters()}
    decayed, kept = decay_groups(head, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {names[id(p)] for p in decayed["params"]} == {
        name for name in names.values() if "weight" in name and "norm" not in name
    }
    assert len(decayed["params"]) + len(kept["params"]) == len(names)


def test_frozen_parameters_are_left_out() -> None:
    head = build_head(HeadConfig(head="mean_pool"), 6, 5)
    head.classifier.weight.requires_grad_(False)
    decayed, kept = decay_groups(head, 0.1)
    assert decayed["params"] == []
    assert [p.shape for p in kept["params"]] == [torch.Size([5])]
