"""Heads can be exported: any number of clips, a fixed number of frames, or one frame at a time."""

import warnings

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import Head, HeadState, build_head

CONFIGS = [
    HeadConfig(cell="lstm", hidden_size=8, inputs="features,delta"),
    HeadConfig(cell="mingru", hidden_size=8, pooling="attention"),
    HeadConfig(head="attentive_probe", hidden_size=8),
    HeadConfig(head="attend_recur", cell="gru", hidden_size=8, inputs="abs_delta3"),
    HeadConfig(head="recur_attend", cell="mingru", hidden_size=8),
    HeadConfig(head="conv_gru", hidden_size=8),
    HeadConfig(head="token_probe_ordered", hidden_size=8),
]


def make_head(config: HeadConfig) -> Head:
    torch.manual_seed(0)
    return build_head(config, 8, 5, num_cells=4).eval()


class Step(torch.nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, features_BD: Tensor, state: HeadState) -> tuple[Tensor, HeadState]:
        return self.head.step(features_BD, state)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.head}-{config.cell}")
def test_the_exported_graph_gives_the_heads_logits(config: HeadConfig) -> None:
    head = make_head(config)
    clips = Dim("clips", min=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates its own exporter's parts
        graph = torch.export.export(
            head,
            (torch.randn(3, 7, 8), torch.tensor([7, 3, 1])),
            dynamic_shapes={"features_BTD": {0: clips}, "lengths_B": {0: clips}},
        ).module()
    features_BTD, lengths_B = torch.randn(5, 7, 8), torch.tensor([7, 3, 1, 2, 6])
    torch.testing.assert_close(
        graph(features_BTD, lengths_B).logits_BK, head(features_BTD, lengths_B).logits_BK
    )


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.head}-{config.cell}")
def test_the_exported_step_gives_the_heads_step(config: HeadConfig) -> None:
    head = make_head(config)
    state = head.initial_state(2)
    frames_TBD = torch.randn(4, 2, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.export.export(Step(head), (frames_TBD[0], state)).module()
    graph_state = state
    for features_BD in frames_TBD:
        logits_BK, state = head.step(features_BD, state)
        graph_logits_BK, graph_state = graph(features_BD, graph_state)
        torch.testing.assert_close(graph_logits_BK, logits_BK)
