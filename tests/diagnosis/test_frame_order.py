"""Orders of frames: what moves, what stays, and that padding stays behind the clip."""

import pytest
import torch

from actionrnn.diagnosis.frame_order import freeze, reverse, shuffle, subsample
from actionrnn.training.batches import Batch

LENGTHS = [[7, 4], [1, 2], [5, 7]]
FLAT = [length for clip in LENGTHS for length in clip]


def batch() -> Batch:
    """Features that are the frame's number from 1, and 0 in the padding."""
    lengths_BV = torch.tensor(LENGTHS)
    step_T = torch.arange(7)
    numbers_BVT = torch.where(step_T < lengths_BV[..., None], step_T + 1, 0).float()
    features_BVTD = numbers_BVT[..., None].expand(-1, -1, -1, 3).contiguous()
    return Batch(features_BVTD, lengths_BV, torch.zeros(3).long(), torch.tensor([2, 0, 1]))


def views(changed: Batch) -> list[list[int]]:
    rows = changed.features_BVTD[..., 0].flatten(0, 1).int().tolist()
    assert torch.equal(changed.features_BVTD[..., 0], changed.features_BVTD[..., 2])
    return [
        row[:length]
        for row, length in zip(rows, changed.lengths_BV.flatten().tolist(), strict=True)
    ]


def test_reversing_twice_is_nothing_and_once_is_backwards() -> None:
    for row, length in zip(views(reverse(batch())), FLAT, strict=True):
        assert row == list(range(length, 0, -1))
    twice = reverse(reverse(batch()))
    assert torch.equal(twice.features_BVTD, batch().features_BVTD)


def test_freezing_repeats_the_middle_frame() -> None:
    for row, length in zip(views(freeze(batch())), FLAT, strict=True):
        assert row == [length // 2 + 1] * length


@pytest.mark.parametrize("step", [2, 4, 9])
def test_subsampling_keeps_every_nth_frame_and_at_least_one(step: int) -> None:
    changed = subsample(step)(batch())
    for row, length in zip(views(changed), FLAT, strict=True):
        assert row == [min(t, length) for t in range(step // 2 + 1, length + step // 2 + 1, step)]
    beyond = torch.arange(7) >= changed.lengths_BV[..., None]
    assert (changed.features_BVTD[beyond] == 0).all()


def test_shuffling_is_a_permutation_seeded_and_never_the_padding() -> None:
    changed = shuffle(3)(batch())
    for row, length in zip(views(changed), FLAT, strict=True):
        assert sorted(row) == list(range(1, length + 1))
    assert torch.equal(changed.lengths_BV, batch().lengths_BV)
    assert torch.equal(shuffle(3)(batch()).features_BVTD, changed.features_BVTD)
    assert not torch.equal(shuffle(4)(batch()).features_BVTD, changed.features_BVTD)


def test_every_order_is_as_likely() -> None:
    change, seen = shuffle(0), torch.zeros(7, 7)
    for _ in range(700):
        seen[torch.arange(7), change(batch()).features_BVTD[0, 0, :, 0].long() - 1] += 1
    assert (seen - 100).abs().max() < 50


def test_shuffling_among_some_frames_leaves_the_others_in_place() -> None:
    among_NVT = torch.zeros(3, 2, 7, dtype=torch.bool)
    among_NVT[2, 0, 2:5] = True  # row 0 of the batch is row 2 of the split
    moved = set()
    for seed in range(12):
        first, *rest = views(shuffle(seed, among_NVT)(batch()))
        assert first[:2] + first[5:] == [1, 2, 6, 7]
        assert sorted(first[2:5]) == [3, 4, 5]
        assert rest == views(batch())[1:]
        moved.add(tuple(first))
    assert len(moved) > 1
