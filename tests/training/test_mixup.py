"""Mixup of clips of different lengths."""

import pytest
import torch
from torch import nn

from actionrnn.training.mixup import at_pace, mixup


def test_a_partner_is_read_at_the_pace_of_the_clip() -> None:
    frames = torch.arange(6.0).reshape(1, 6, 1)
    six, three = torch.tensor([6]), torch.tensor([3])
    assert at_pace(frames, six, six)[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert at_pace(frames, six, three)[0, :3, 0].tolist() == [1, 3, 5]
    assert at_pace(frames, three, six)[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert at_pace(frames, torch.tensor([1]), six)[0, :, 0].tolist() == [0] * 6


def test_every_frame_is_the_promised_mixture() -> None:
    torch.manual_seed(0)
    lengths_B = torch.randint(1, 9, (64,))
    # A clip's frames all hold its own number, so a mixture tells its parts.
    features_BTD = torch.arange(64.0).reshape(64, 1, 1).expand(64, 8, 2).clone()
    for row, length in enumerate(lengths_B.tolist()):
        features_BTD[row, length:] = float("nan")
    mixed = mixup(features_BTD, lengths_B, alpha=0.4)
    assert sorted(mixed.partner_B.tolist()) == list(range(64))
    assert bool(((mixed.share_B >= 0.5) & (mixed.share_B <= 1)).all())
    for row, length in enumerate(lengths_B.tolist()):
        share, partner = mixed.share_B[row], mixed.partner_B[row]
        expected = share * row + (1 - share) * partner
        torch.testing.assert_close(mixed.features_BTD[row, :length], expected.expand(length, 2))
        assert torch.all(mixed.features_BTD[row, length:] == 0)


def test_the_soft_targets_give_the_mixed_loss() -> None:
    torch.manual_seed(2)
    mixed = mixup(torch.randn(8, 5, 2), torch.full((8,), 5), alpha=0.4)
    logits_BK, target_B = torch.randn(8, 3), torch.randint(3, (8,))
    for options in ({}, {"label_smoothing": 0.1}):
        loss = nn.functional.cross_entropy(logits_BK, mixed.targets(target_B, 3), **options)
        own_B, other_B = (
            nn.functional.cross_entropy(logits_BK, each, reduction="none", **options)
            for each in (target_B, target_B[mixed.partner_B])
        )
        expected = mixed.share_B * own_B + (1 - mixed.share_B) * other_B
        torch.testing.assert_close(loss, expected.mean())


def test_same_seed_same_mixture() -> None:
    features_BTD, lengths_B = torch.randn(4, 5, 2), torch.tensor([5, 1, 3, 4])
    mixtures = []
    for _ in range(2):
        torch.manual_seed(3)
        mixtures.append(mixup(features_BTD, lengths_B, alpha=1.0))
    for one, two in zip(*mixtures, strict=True):
        assert torch.equal(one, two)


def test_alpha_must_be_positive() -> None:
    with pytest.raises(ValueError, match="mixup alpha 0 is out of range"):
        mixup(torch.randn(2, 3, 1), torch.tensor([3, 3]), alpha=0)
    with pytest.raises(ValueError, match=r"length 4 of row 1 is outside 1\.\.3"):
        mixup(torch.randn(2, 3, 1), torch.tensor([3, 4]), alpha=0.2)
