"""The order of batches: every clip once, a function of seed and epoch, shared between processes."""

import pytest
import torch

from actionrnn.training.batches import BatchOrder


def rows(order: BatchOrder) -> list[int]:
    return [row for batch in order for row in batch.tolist()]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("num_rows", "batch_size"), [(1, 4), (7, 3), (64, 64), (65, 64)])
def test_every_row_comes_once(num_rows: int, batch_size: int, shuffle: bool) -> None:
    order = BatchOrder(num_rows, batch_size, shuffle=shuffle)
    assert sorted(rows(order)) == list(range(num_rows))
    assert len(list(order)) == len(order)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    first, same = BatchOrder(50, 8, shuffle=True, seed=3), BatchOrder(50, 8, shuffle=True, seed=3)
    assert rows(first) == rows(same) == rows(first)
    first.set_epoch(1)
    assert rows(first) != rows(same)
    same.set_epoch(1)
    assert rows(first) == rows(same)
    assert rows(BatchOrder(50, 8, shuffle=True, seed=4)) != rows(
        BatchOrder(50, 8, shuffle=True, seed=3)
    )


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("num_rows", [5, 16, 17, 33])
def test_processes_share_the_rows_of_an_evaluation_without_repeats(
    num_rows: int, world_size: int
) -> None:
    shares = [
        rows(BatchOrder(num_rows, 8, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert sorted(row for share in shares for row in share) == list(range(num_rows))


@pytest.mark.parametrize("num_rows", [5, 17, 33])
def test_training_processes_take_the_same_number_of_steps(num_rows: int) -> None:
    parts = [BatchOrder(num_rows, 8, shuffle=True, rank=rank, world_size=2) for rank in range(2)]
    steps = {len(list(part)) for part in parts}
    assert steps == {len(parts[0])}
    assert {row for part in parts for row in rows(part)} == set(range(num_rows))


def test_balanced_sampling_evens_out_the_classes() -> None:
    target = torch.tensor([0] * 900 + [1] * 100)
    weights = target.bincount().double().reciprocal()[target]
    drawn = target[rows(BatchOrder(1000, 50, shuffle=True, weights=weights))]
    assert 0.4 < drawn.float().mean() < 0.6
