"""What a head sees: differences in time, normalisation measured once, equal in every mode."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actionrnn.models import inputs as inputs_module
from actionrnn.models.config import HeadConfig, lag_of
from actionrnn.models.heads import build_head
from actionrnn.models.inputs import LEAST_DEVIATION, HeadInputs

ALL_KINDS = ("features", "delta", "abs_delta")
LAGS = ("delta3", "abs_ahead2", "features", "abs_delta20", "ahead", "delta")


def make_inputs(kinds: tuple[str, ...], norm: str = "standardize", **options: Any) -> HeadInputs:
    return HeadInputs(HeadConfig(inputs=",".join(kinds), input_norm=norm, **options), 4)


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
            rows.append(torch.cat([one_kind(frames_TD, kind) for kind in kinds], dim=1))
    return torch.cat(rows)


def one_kind(frames_TD: Tensor, kind: str) -> Tensor:
    """A kind of input frame by frame; before the first frame stands the first, and so on."""
    lag, last = lag_of(kind), len(frames_TD) - 1
    if lag == 0:
        return frames_TD
    other_TD = torch.stack([frames_TD[min(max(t + lag, 0), last)] for t in range(last + 1)])
    delta_TD = other_TD - frames_TD if lag > 0 else frames_TD - other_TD
    return delta_TD.abs() if kind.startswith("abs_") else delta_TD


@pytest.mark.parametrize("kinds", [("features",), ("abs_delta", "features"), ALL_KINDS, LAGS])
def test_standardisation_is_mean_and_deviation_over_all_valid_frames(
    kinds: tuple[str, ...],
) -> None:
    batches = [ragged(num_clips, seed) for seed, num_clips in enumerate((5, 1, 8))]
    inputs = make_inputs(kinds)
    inputs.fit(batches)
    expected_ND = all_inputs(batches, kinds)
    deviation_KD = expected_ND.std(dim=0, correction=0).reshape(len(kinds), 4)
    floor_K1 = LEAST_DEVIATION * deviation_KD.mean(dim=1, keepdim=True)
    torch.testing.assert_close(inputs.mean.double(), expected_ND.mean(dim=0), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(
        inputs.std.double(), torch.maximum(deviation_KD, floor_K1).flatten(), rtol=1e-5, atol=0
    )


def test_one_pass_over_small_batches_equals_one_big_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features_BTD, lengths_B = ragged(16, seed=0)
    whole, parts = (make_inputs(ALL_KINDS) for _ in range(2))
    whole.fit([(features_BTD, lengths_B)])
    monkeypatch.setattr(inputs_module, "MEASURED_AT_ONCE", 3 * features_BTD[0].numel())
    in_threes = make_inputs(ALL_KINDS)
    in_threes.fit([(features_BTD, lengths_B)])
    torch.testing.assert_close(whole.std, in_threes.std)
    parts.fit((features_BTD[i : i + 1], lengths_B[i : i + 1]) for i in range(16))
    torch.testing.assert_close(whole.mean, parts.mean)
    torch.testing.assert_close(whole.std, parts.std)


def test_not_fitted_is_the_identity() -> None:
    features_BTD = torch.randn(2, 3, 4)
    outputs_BTD, _ = make_inputs(("features",))(features_BTD, torch.tensor([3, 3]), None)
    assert torch.equal(outputs_BTD, features_BTD)


def test_a_dimension_that_never_moved_cannot_explode() -> None:
    inputs = make_inputs(("features",))
    still_BTD = torch.randn(8, 5, 4)
    still_BTD[:, :, 2] = 7.0
    inputs.fit([(still_BTD, torch.tensor([5] * 8))])
    moved_BTD = still_BTD.clone()
    moved_BTD[:, :, 2] = 8.0
    outputs_BTD, _ = inputs(moved_BTD, torch.tensor([5] * 8), None)
    assert outputs_BTD.abs().max() < 2 / LEAST_DEVIATION
    frozen = make_inputs(("delta",))
    frozen.fit([(torch.ones(2, 5, 4), torch.tensor([5, 5]))])
    assert torch.equal(frozen.std, torch.ones(4))


def test_layer_norm_treats_each_kind_by_itself() -> None:
    inputs = HeadInputs(HeadConfig(inputs="features,delta", input_norm="layer"), 64)
    torch.manual_seed(0)
    features_BTD = 1e2 + torch.randn(2, 6, 1) + 0.1 * torch.randn(2, 6, 64)
    outputs_BTD, _ = inputs(features_BTD, torch.tensor([6, 6]), None)
    by_kind = outputs_BTD[:, 1:].reshape(2, 5, 2, 64)
    torch.testing.assert_close(by_kind.mean(3), torch.zeros(2, 5, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(by_kind.std(3), torch.ones(2, 5, 2), atol=0.02, rtol=0)
    assert torch.all(outputs_BTD[:, 0, 64:] == 0)  # no motion at the first frame


@pytest.mark.parametrize("options", [{}, {"input_power": 0.5, "grid_pooling": "max"}])
def test_the_measured_scale_reaches_every_mode(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = HeadConfig(hidden_size=8, inputs=",".join(ALL_KINDS), **options)
    head = build_head(config, 4, 3, num_cells=2).eval()
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


@pytest.mark.parametrize("kinds", [LAGS[:2], LAGS])
def test_lags_are_counted_within_each_clip(kinds: tuple[str, ...]) -> None:
    features_BTD, lengths_B = ragged(6, seed=4)
    found_BTD, _ = make_inputs(kinds, "none")(features_BTD, lengths_B, None)
    found_ND = torch.cat([row[:n] for row, n in zip(found_BTD, lengths_B.tolist(), strict=True)])
    expected_ND = all_inputs([(features_BTD, lengths_B)], kinds)
    torch.testing.assert_close(found_ND.double(), expected_ND, rtol=1e-4, atol=0.2)


def test_lags_go_on_across_parts_of_a_clip_even_longer_ones_than_a_part() -> None:
    inputs = make_inputs(("features", "delta5", "abs_delta2"), "none")
    clip_1TD = torch.randn(1, 12, 4)
    whole_1TD, _ = inputs(clip_1TD, torch.tensor([12]), None)
    state, parts = inputs.initial_state(1, clip_1TD), []
    for part_1TD in clip_1TD.split([1, 2, 6, 3], dim=1):
        padded_1TD = nn.functional.pad(part_1TD, (0, 0, 0, 2), value=float("nan"))
        found_1TD, state = inputs(padded_1TD, torch.tensor([part_1TD.shape[1]]), state)
        parts.append(found_1TD[:, : part_1TD.shape[1]])
    torch.testing.assert_close(torch.cat(parts, dim=1), whole_1TD)


def test_inputs_that_look_ahead_refuse_to_step() -> None:
    head = build_head(HeadConfig(hidden_size=8, inputs="features,ahead2"), 4, 3).eval()
    assert head(torch.randn(2, 5, 4), torch.tensor([5, 3])).logits_BK.shape == (2, 3)
    with pytest.raises(ValueError, match="inputs features,ahead2 compare a frame with later ones"):
        head.step(torch.randn(2, 4), None)
    # A control that does not see these inputs can step.
    build_head(HeadConfig(head="mean_pool", inputs="ahead"), 4, 3).step(torch.randn(2, 4), None)


def test_a_head_over_tokens_has_one_scale_for_a_channel_at_all_cells() -> None:
    """A place where nothing happens keeps its small values."""
    config = HeadConfig(head="attend_recur", hidden_size=8, inputs="features,abs_delta")
    inputs = HeadInputs(config, feature_dim=12, num_cells=4)
    features_BTD = torch.randn(5, 6, 12)
    quiet = features_BTD.unflatten(2, (3, 4))
    quiet[..., 2] *= 0.01
    features_BTD = quiet.flatten(2)
    lengths_B = torch.tensor([6] * 5)
    inputs.fit([(features_BTD, lengths_B)])
    normed_BTKCG = inputs(features_BTD, lengths_B, None)[0].unflatten(2, (2, 3, 4))
    by_channel_KCN = normed_BTKCG.permute(2, 3, 0, 1, 4).flatten(2)
    torch.testing.assert_close(by_channel_KCN.mean(2), torch.zeros(2, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        by_channel_KCN.std(2, correction=0), torch.ones(2, 3), rtol=0, atol=1e-4
    )
    assert normed_BTKCG[:, :, 1, :, 2].std(dim=(0, 1)).max() < 0.05


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="given no training clip to measure"):
        make_inputs(("features",)).fit([])
    make_inputs(("features",), "none").fit([])


def test_broken_training_features_are_named() -> None:
    good_BTD = torch.randn(3, 5, 4)
    bad_BTD = good_BTD.clone()
    bad_BTD[1, 2, 0] = float("inf")
    bad_BTD[2, 4, 0] = float("nan")  # padding, may hold anything
    lengths_B = torch.tensor([5, 5, 4])
    with pytest.raises(ValueError, match=r"training batch 1 are not finite in rows \[1\]"):
        make_inputs(("features",)).fit([(good_BTD, lengths_B), (bad_BTD, lengths_B)])


@pytest.mark.parametrize("pooling", ["max", "mean", "motion_max"])
def test_cells_are_pooled_after_the_differences_of_each_kind(pooling: str) -> None:
    """Two people who move by turns: no cell's strongest change is that of the whole picture."""
    config = HeadConfig(inputs="features,abs_delta", input_norm="none", grid_pooling=pooling)
    inputs = HeadInputs(config, feature_dim=12, num_cells=4)
    features_BTD = torch.randn(3, 5, 12)
    lengths_B = torch.tensor([5, 2, 4])
    found_BTD, _ = inputs(features_BTD, lengths_B, None)
    assert found_BTD.shape == (3, 5, inputs.output_size) == (3, 5, 6)
    of_features = np.max if pooling == "max" else np.mean
    of_moved = np.mean if pooling == "mean" else np.max
    for clip, length in enumerate(lengths_B.tolist()):
        cells = features_BTD[clip, :length].numpy().reshape(length, 3, 4)
        moved = np.abs(np.diff(cells, axis=0, prepend=cells[:1]))
        expected = np.concatenate([of_features(cells, axis=2), of_moved(moved, axis=2)], axis=1)
        np.testing.assert_allclose(found_BTD[clip, :length].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("kinds", [("abs_delta",), ("features", "abs_delta")])
@pytest.mark.parametrize("pooling", ["max", "mean", "motion_max"])
def test_what_is_reduced_once_gives_the_same_bits(kinds: tuple[str, ...], pooling: str) -> None:
    config = HeadConfig(inputs=",".join(kinds), input_power=0.5, grid_pooling=pooling)
    inputs = HeadInputs(config, feature_dim=12, num_cells=4)
    features_BTD, lengths_B = torch.randn(3, 5, 12), torch.tensor([5, 1, 4])
    inputs.fit([(features_BTD, lengths_B)])
    assert inputs.shrinks
    expected_BTC, _ = inputs(features_BTD, lengths_B, None)
    reduced_BTC = inputs.reduce(features_BTD, lengths_B)
    found_BTC = inputs.from_reduced(reduced_BTC)
    assert reduced_BTC.shape[2] < 12
    for clip, length in enumerate(lengths_B.tolist()):
        assert torch.equal(found_BTC[clip, :length], expected_BTC[clip, :length])
    with pytest.raises(ValueError, match=r"features must be \(clips, frames, 12\)"):
        inputs(reduced_BTC, lengths_B, None)
    with pytest.raises(ValueError, match=r"reduced features must be \(clips, frames, "):
        inputs.from_reduced(features_BTD)


def test_without_a_grid_nothing_shrinks() -> None:
    assert not make_inputs(("abs_delta",)).shrinks
    assert not HeadInputs(HeadConfig(grid_pooling="concat"), 12, 4).shrinks


def test_features_of_no_grid_are_one_cell() -> None:
    features_BTD, lengths_B = torch.randn(2, 5, 4), torch.tensor([5, 3])
    plain, _ = make_inputs(ALL_KINDS)(features_BTD, lengths_B, None)
    pooled, _ = make_inputs(ALL_KINDS, grid_pooling="max")(features_BTD, lengths_B, None)
    assert torch.equal(plain, pooled)
    with pytest.raises(ValueError, match="feature_dim 10 is no multiple of 4 grid cells"):
        HeadInputs(HeadConfig(), 10, 4)


def test_a_power_is_taken_of_the_size_before_the_differences() -> None:
    inputs = make_inputs(("features", "delta"), "none", input_power=0.5)
    features_BTD = torch.tensor([[[4.0, -9.0, 0.0, 1.0], [1.0, 16.0, -1.0, 1.0]]])
    found_BTD, _ = inputs(features_BTD, torch.tensor([2]), None)
    expected = [[2, -3, 0, 1, 0, 0, 0, 0], [1, 4, -1, 1, -1, 7, -1, 0]]
    torch.testing.assert_close(found_BTD[0], torch.tensor(expected).float(), atol=3e-3, rtol=0)
    zeros_BTD = torch.zeros(1, 2, 4, requires_grad=True)
    inputs(zeros_BTD, torch.tensor([2]), None)[0].sum().backward()
    assert zeros_BTD.grad is not None
    assert bool(zeros_BTD.grad.isfinite().all())
    with pytest.raises(ValueError, match=r"input_power 0 is out of range: 0 < p <= 1"):
        HeadConfig(input_power=0)


@pytest.mark.parametrize("kinds", ["abs_delta,features,delta4", "features"])
def test_features_count_for_less_beside_differences_alone(kinds: str) -> None:
    features_BTD, lengths_B = torch.randn(6, 9, 8), torch.tensor([9, 9, 5, 3, 9, 7])
    found = []
    for scale in (1.0, 0.25):
        inputs = HeadInputs(HeadConfig(inputs=kinds, feature_scale=scale), feature_dim=8)
        inputs.fit([(features_BTD, lengths_B)])
        found.append(inputs(features_BTD, lengths_B, None)[0].unflatten(2, (-1, 8)))
    usual, scaled = found
    for place, kind in enumerate(kinds.split(",")):
        share = 0.25 if kind == "features" and "," in kinds else 1.0
        torch.testing.assert_close(scaled[:, :, place], share * usual[:, :, place])
    with pytest.raises(ValueError, match="after input_norm standardize"):
        HeadConfig(inputs=kinds, feature_scale=0.5, input_norm="layer")
    with pytest.raises(ValueError, match="feature_scale 0 is out of range"):
        HeadConfig(feature_scale=0)
