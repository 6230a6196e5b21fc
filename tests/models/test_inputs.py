"""What a head sees: differences in time, normalisation measured once, equal in every mode."""

import pytest
import torch
from torch import Tensor

from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.models.inputs import LEAST_DEVIATION, HeadInputs

ALL_KINDS = ("features", "delta", "abs_delta")


def ragged(num_clips: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scale_D = torch.tensor([1e-3, 1.0, 50.0, 1e4])
    offset_D = torch.tensor([5.0, 0.0, -1e3, 1e6])
    features_BTD = torch.randn(num_clips, 11, 4, generator=generator) * scale_D + offset_D
    lengths_B = torch.randint(1, 12, (num_clips,), generator=generator)
    for row, length in enumerate(lengths_B.tolist()):
        features_BTD[row, length:] = float("nan")
    return features_BTD, lengths_B


def all_inputs(batches: list[tuple[Tensor, Tensor]], kinds: tuple[str, ...]) -> Tensor:
    """Every valid input vector, computed clip by clip in float64."""
    rows = []
    for features_BTD, lengths_B in batches:
        for clip_TD, length in zip(features_BTD.double(), lengths_B.tolist(), strict=True):
            frames_TD = clip_TD[:length]
            delta_TD = torch.zeros_like(frames_TD)
            delta_TD[1:] = frames_TD[1:] - frames_TD[:-1]
            by_kind = {"features": frames_TD, "delta": delta_TD, "abs_delta": delta_TD.abs()}
            rows.append(torch.cat([by_kind[kind] for kind in kinds], dim=1))
    return torch.cat(rows)


@pytest.mark.parametrize("kinds", [("features",), ("abs_delta", "features"), ALL_KINDS])
def test_standardisation_is_mean_and_deviation_over_all_valid_frames(
    kinds: tuple[str, ...],
) -> None:
    batches = [ragged(num_clips, seed) for seed, num_clips in enumerate((5, 1, 8))]
    inputs = HeadInputs(4, kinds, "standardize")
    inputs.fit(batches)
    expected_ND = all_inputs(batches, kinds)
    deviation_KD = expected_ND.std(dim=0, correction=0).reshape(len(kinds), 4)
    floor_K1 = LEAST_DEVIATION * deviation_KD.mean(dim=1, keepdim=True)
    torch.testing.assert_close(inputs.mean.double(), expected_ND.mean(dim=0), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(
        inputs.std.double(), torch.maximum(deviation_KD, floor_K1).flatten(), rtol=1e-5, atol=0
    )


def test_one_pass_over_small_batches_equals_one_big_batch() -> None:
    features_BTD, lengths_B = ragged(16, seed=0)
    whole, parts = (HeadInputs(4, ALL_KINDS, "standardize") for _ in range(2))
    whole.fit([(features_BTD, lengths_B)])
    parts.fit((features_BTD[i : i + 1], lengths_B[i : i + 1]) for i in range(16))
    torch.testing.assert_close(whole.mean, parts.mean)
    torch.testing.assert_close(whole.std, parts.std)


def test_not_fitted_is_the_identity() -> None:
    features_BTD = torch.randn(2, 3, 4)
    outputs_BTD, _ = HeadInputs(4, ("features",), "standardize")(
        features_BTD, torch.tensor([3, 3]), None
    )
    assert torch.equal(outputs_BTD, features_BTD)


def test_a_dimension_that_never_moved_cannot_explode() -> None:
    inputs = HeadInputs(4, ("features",), "standardize")
    still_BTD = torch.randn(8, 5, 4)
    still_BTD[:, :, 2] = 7.0
    inputs.fit([(still_BTD, torch.tensor([5] * 8))])
    moved_BTD = still_BTD.clone()
    moved_BTD[:, :, 2] = 8.0
    outputs_BTD, _ = inputs(moved_BTD, torch.tensor([5] * 8), None)
    assert outputs_BTD.abs().max() < 2 / LEAST_DEVIATION
    frozen = HeadInputs(4, ("delta",), "standardize")
    frozen.fit([(torch.ones(2, 5, 4), torch.tensor([5, 5]))])
    assert torch.equal(frozen.std, torch.ones(4))


def test_layer_norm_treats_each_kind_by_itself() -> None:
    inputs = HeadInputs(64, ("features", "delta"), "layer")
    features_BTD = 1e3 + torch.randn(2, 6, 1) + 0.1 * torch.randn(2, 6, 64)
    outputs_BTD, _ = inputs(features_BTD, torch.tensor([6, 6]), None)
    by_kind = outputs_BTD[:, 1:].reshape(2, 5, 2, 64)
    torch.testing.assert_close(by_kind.mean(3), torch.zeros(2, 5, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(by_kind.std(3), torch.ones(2, 5, 2), atol=0.02, rtol=0)
    assert torch.all(outputs_BTD[:, 0, 64:] == 0)  # no motion at the first frame


def test_the_measured_scale_reaches_every_mode() -> None:
    torch.manual_seed(0)
    head = build_head(HeadConfig(hidden_size=8, inputs=",".join(ALL_KINDS)), 4, 3).eval()
    features_BTD, lengths_B = ragged(6, seed=3)
    before_BK = head(features_BTD, lengths_B).logits_BK
    head.fit_input_norm([(features_BTD, lengths_B)])
    whole = head(features_BTD, lengths_B)
    assert not torch.allclose(before_BK, whole.logits_BK, atol=1e-3)
    state = None
    for t in range(int(lengths_B.max())):
        logits_BK, state = head.step(torch.nan_to_num(features_BTD[:, t]), state)
        alive_B = lengths_B > t
        torch.testing.assert_close(
            logits_BK[alive_B], whole.logits_BTK[alive_B, t], rtol=1e-3, atol=1e-5
        )


def test_half_precision_features_are_welcome() -> None:
    head = build_head(HeadConfig(hidden_size=8), 4, 3).eval()
    features_BTD, lengths_B = torch.randn(2, 5, 4).half(), torch.tensor([5, 2])
    expected_BK = head(features_BTD.float(), lengths_B).logits_BK
    assert torch.equal(head(features_BTD, lengths_B).logits_BK, expected_BK)


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="given no training clip to measure"):
        HeadInputs(4, ("features",), "standardize").fit([])
    HeadInputs(4, ("features",), "none").fit([])


def test_broken_training_features_are_named() -> None:
    good_BTD = torch.randn(3, 5, 4)
    bad_BTD = good_BTD.clone()
    bad_BTD[1, 2, 0] = float("inf")
    bad_BTD[2, 4, 0] = float("nan")  # padding, may hold anything
    lengths_B = torch.tensor([5, 5, 4])
    with pytest.raises(ValueError, match=r"training batch 1 are not finite in rows \[1\]"):
        HeadInputs(4, ("features",), "standardize").fit(
            [(good_BTD, lengths_B), (bad_BTD, lengths_B)]
        )
