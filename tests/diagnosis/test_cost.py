"""What a head costs is told of the right head, and measuring changes nothing."""

import time

import pytest
import torch

from actionrnn.diagnosis.cost import CELLS, cells_by_length, measure_costs
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import Head, build_head


def make_head(options: dict[str, object]) -> Head:
    torch.manual_seed(0)
    return build_head(HeadConfig(**{"hidden_size": 8, **options}), 6, 3).eval()


def test_an_lstm_counts_as_the_textbook_says() -> None:
    # Four gates, each of input (6) and state (8) into 8 units, and the classifier, each frame.
    assert make_head({"cell": "lstm"}).macs(16) == 16 * (4 * 8 * (6 + 8) + 8 * 3)


def test_costs_are_told_of_the_right_head_and_change_nothing() -> None:
    heads = {cell: make_head({"cell": cell}) for cell in ("gru", "mingru")}
    plain_forward = heads["gru"].forward

    def slow_forward(*words: object) -> object:
        time.sleep(0.005)
        return plain_forward(*words)

    heads["gru"].forward = slow_forward
    before = {name: value.clone() for name, value in heads["mingru"].state_dict().items()}
    batch = torch.randn(2, 5, 6), torch.tensor([5, 3]), torch.tensor([0, 2])
    costs = measure_costs(heads, *batch, repeats=3)
    assert costs["gru"].train_ms >= 2.5  # 5 ms for a batch of two clips
    assert costs["gru"].inference_ms >= 2.5
    assert costs["mingru"].inference_ms < costs["gru"].inference_ms
    assert costs["mingru"].parameters == heads["mingru"].num_parameters
    assert all(
        torch.equal(before[name], value) for name, value in heads["mingru"].state_dict().items()
    )


def test_cells_at_lengths() -> None:
    found = cells_by_length(
        HeadConfig(hidden_size=4), [2, 4], feature_dim=3, num_clips=2, repeats=1
    )
    assert list(found) == [2, 4]
    assert list(found[2]) == list(CELLS)
    assert found[4]["gru"].multiply_adds == 2 * found[2]["gru"].multiply_adds
    chrono = cells_by_length(HeadConfig(init="chrono"), [2], feature_dim=3, num_clips=2, repeats=1)
    assert "rnn" not in chrono[2]
    with pytest.raises(ValueError, match="at least 1"):
        cells_by_length(HeadConfig(), [0])
