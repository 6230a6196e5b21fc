"""Padding is inert: a clip's logits depend on its own valid frames and on nothing else."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actionrnn.models.config import CELLS, CONTROLS, HeadConfig
from actionrnn.models.heads import Head, build_head

POOLINGS = ("last", "mean", "max", "attention")
CONFIGS = [
    HeadConfig(cell=cell, bidirectional=both, pooling=pooling, hidden_size=8, inputs=inputs)
    for cell, both, pooling, inputs in itertools.product(
        CELLS, (False, True), POOLINGS, ("features", "features,delta,abs_delta")
    )
]
CONFIGS += [HeadConfig(head=head, hidden_size=8, input_norm="layer") for head in CONTROLS]
CONFIGS += [
    HeadConfig(head=head, bidirectional=both, hidden_size=8, inputs=inputs)
    for head, both, inputs in itertools.product(
        ("attend_recur", "recur_attend", "conv_gru"),
        (False, True),
        ("features,abs_delta3", "ahead2,abs_ahead"),
    )
]
NUM_FEATURES, NUM_CLASSES, NUM_CELLS = 8, 5, 4
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


def name(config: HeadConfig) -> str:
    both = "-both" if config.bidirectional else ""
    return f"{config.head}-{config.cell}{both}-{config.pooling}-{config.inputs}"


def make_head(config: HeadConfig) -> Head:
    torch.manual_seed(0)
    return build_head(config, NUM_FEATURES, NUM_CLASSES, NUM_CELLS).eval()


def padded_batch(clips: list[Tensor], num_frames: int, garbage: float) -> Tensor:
    batch = torch.full((len(clips), num_frames, NUM_FEATURES), garbage)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = clip
    return batch


def check_padding_is_inert(
    head: Head, lengths: list[int], extra_frames: int, garbage: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    clips = [torch.randn(length, NUM_FEATURES, generator=generator) for length in lengths]
    batch = padded_batch(clips, max(lengths) + extra_frames, garbage)
    with torch.no_grad():
        together = head(batch, torch.tensor(lengths))
        for row, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
            alone = head(clip[None], torch.tensor([length]))
            torch.testing.assert_close(together.logits_BK[row], alone.logits_BK[0], **TOLERANCE)
            torch.testing.assert_close(
                together.logits_BTK[row, :length], alone.logits_BTK[0], **TOLERANCE
            )
            torch.testing.assert_close(
                together.hidden_BTH[row, :length], alone.hidden_BTH[0], **TOLERANCE
            )


@pytest.mark.parametrize("config", CONFIGS, ids=name)
@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    extra_frames=st.integers(0, 5),
    garbage=st.sampled_from([0.0, float("nan"), float("inf"), -1e30]),
    seed=st.integers(0, 2**31),
)
def test_padding_and_batch_mates_are_inert(
    config: HeadConfig, lengths: list[int], extra_frames: int, garbage: float, seed: int
) -> None:
    check_padding_is_inert(make_head(config), lengths, extra_frames, garbage, seed)


def test_reading_the_padded_last_step_fails_the_property() -> None:
    """The popular mistake, `output[:, -1]` of a padded batch, does not survive the check."""

    class ReadsPaddedStep(torch.nn.Module):
        def __init__(self, head: Head) -> None:
            super().__init__()
            self.head = head

        def forward(self, features_BTD: Tensor, lengths_B: Tensor) -> object:
            output = self.head(features_BTD, lengths_B)
            last_BH = output.hidden_BTH[:, -1]
            return output._replace(logits_BK=self.head.classifier(last_BH))

    broken = ReadsPaddedStep(make_head(HeadConfig(hidden_size=8)))
    check_padding_is_inert(broken, [5, 5], 0, 0.0, seed=0)  # nothing is padded: still right
    with pytest.raises(AssertionError, match="not close"):
        check_padding_is_inert(broken, [5, 3], 0, 0.0, seed=0)


def test_garbage_in_padding_is_bit_for_bit_without_effect() -> None:
    for config in CONFIGS:
        head = make_head(config)
        clean_BTD = torch.randn(3, 9, NUM_FEATURES)
        lengths_B = torch.tensor([9, 4, 1])
        dirty_BTD = clean_BTD.clone()
        dirty_BTD[1, 4:], dirty_BTD[2, 1:] = float("nan"), 1e38
        clean, dirty = head(clean_BTD, lengths_B), head(dirty_BTD, lengths_B)
        assert torch.equal(clean.logits_BK, dirty.logits_BK), name(config)
        assert torch.equal(clean.logits_BTK, dirty.logits_BTK), name(config)


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_gradients_ignore_padding(config: HeadConfig) -> None:
    head = make_head(config)
    features_BTD = torch.full((2, 7, NUM_FEATURES), float("nan"))
    features_BTD[0], features_BTD[1, :3] = torch.randn(7, NUM_FEATURES), 1.0
    features_BTD.requires_grad_()
    head(features_BTD, torch.tensor([7, 3])).logits_BK.square().sum().backward()
    assert features_BTD.grad is not None
    assert torch.all(features_BTD.grad[1, 3:] == 0)
    for key, parameter in head.named_parameters():
        assert parameter.grad is not None, key
        assert bool(parameter.grad.isfinite().all()), key


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_clip_is_judged_by_its_deciding_frame(config: HeadConfig) -> None:
    head = make_head(config)
    lengths_B = torch.tensor([9, 4, 1])
    output = head(torch.randn(3, 9, NUM_FEATURES), lengths_B)
    middle = config.head == "single_frame"
    for row, length in enumerate(lengths_B.tolist()):
        frame = length // 2 if middle else length - 1
        assert torch.equal(output.logits_BK[row], output.logits_BTK[row, frame])
        held_TK = output.logits_BTK[row, length - 1 :]
        torch.testing.assert_close(held_TK, held_TK[:1].expand_as(held_TK), **TOLERANCE)


@pytest.mark.parametrize(
    ("lengths_B", "message"),
    [
        (torch.tensor([3, 0]), "length 0 of row 1 is outside 1..4"),
        (torch.tensor([5, 4]), "length 5 of row 0 is outside 1..4"),
        (torch.tensor([-1, 4]), "length -1 of row 0 is outside 1..4"),
        (torch.tensor([4]), "lengths must be 2 whole numbers"),
        (torch.tensor([4.0, 4.0]), "lengths must be 2 whole numbers"),
    ],
)
def test_impossible_lengths_are_refused(lengths_B: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_head(HeadConfig())(torch.randn(2, 4, NUM_FEATURES), lengths_B)


def test_features_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(clips, frames, 8\).*got \(2, 4, 7\)"):
        make_head(HeadConfig())(torch.randn(2, 4, 7), torch.tensor([4, 4]))
