"""The order of batches: every clip once, a function of seed and epoch, shared between processes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.training.batches import Batch, BatchOrder, FeatureLoader, Reduce


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


@pytest.fixture
def three_views(tmp_path: Path) -> FeatureStore:
    """20 clips of 3 views of 2 or 3 frames; a value says clip, view and frame."""
    folder = FeatureStore.create(tmp_path, FeatureSpec(FeatureSettings(), "none", "00")).folder
    clips = []
    for clip in range(20):
        frames = 2 + clip % 2
        values = 100 * clip + 10 * np.arange(3)[:, None] + np.arange(frames)
        clips.append((Entry(f"c{clip}", "s", frames), values[..., None].astype(np.float32)))
    write_shard(folder, clips)
    return FeatureStore.open(folder)


def loader_of(
    store: FeatureStore, random_view: bool, seed: int = 0, reduce: Reduce | None = None
) -> FeatureLoader:
    ids = [f"c{k}" for k in range(1, 20)]  # the split lacks the first clip
    order = BatchOrder(len(ids), 8, shuffle=random_view, seed=seed)
    target_N = torch.arange(1, 20) % 4
    index_N = torch.arange(len(ids))
    return FeatureLoader(store, ids, target_N, index_N, order, random_view, reduce=reduce)


def test_training_sees_one_random_view_a_clip_and_another_the_next_epoch(
    three_views: FeatureStore,
) -> None:
    loader = loader_of(three_views, random_view=True)
    seen: list[dict[int, int]] = []
    for epoch in range(12):
        loader.sampler.set_epoch(epoch)
        views = {}
        for batch in loader:
            assert batch.features_BVTD.shape[1] == 1
            first_B = batch.features_BVTD[:, 0, 0, 0].long()
            assert torch.equal(first_B // 100, batch.index_B + 1)
            assert torch.equal(batch.target_B, (batch.index_B + 1) % 4)
            views |= dict(zip(batch.index_B.tolist(), (first_B // 10 % 10).tolist(), strict=True))
        assert views.keys() == set(range(19))
        seen.append(views)
    assert seen[0] != seen[1]
    assert all({views[row] for views in seen} == {0, 1, 2} for row in range(19))
    loader.sampler.set_epoch(3)
    again = {r: v for b in loader for r, v in zip(b.index_B.tolist(), views_of(b), strict=True)}
    assert again == seen[3], "a function of seed and epoch, so that a resumed run sees the same"


def views_of(batch: Batch) -> list[int]:
    return [int(value) for value in batch.features_BVTD[:, 0, 0, 0].long() // 10 % 10]


def test_evaluation_sees_every_view_padded_with_zeros(three_views: FeatureStore) -> None:
    loader = loader_of(three_views, random_view=False)
    for batch in loader:
        for row, index in enumerate(batch.index_B.tolist()):
            expected = three_views.read(f"c{index + 1}")
            length = expected.shape[1]
            assert batch.lengths_BV[row].tolist() == [length] * 3
            assert np.array_equal(batch.features_BVTD[row, :, :length].numpy(), expected)
            assert not batch.features_BVTD[row, :, length:].any()


def test_batches_are_the_same_from_memory_and_from_disk(
    three_views: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(loader_of(three_views, random_view=True))
    assert three_views._ram is not None, "a store that fits is held in memory"
    monkeypatch.setattr("actionrnn.features.store.RAM_SHARE", 0.0)
    mapped = FeatureStore.open(three_views.folder)
    found = list(loader_of(mapped, random_view=True))
    assert mapped._ram is None
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


@pytest.mark.parametrize("random_view", [False, True])
@pytest.mark.parametrize("too_large", [False, True])
def test_clips_are_reduced_once_if_the_results_fit(
    three_views: FeatureStore,
    monkeypatch: pytest.MonkeyPatch,
    random_view: bool,
    too_large: bool,
) -> None:
    seen: list[int] = []

    def reduce(features_BTD: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        seen.append(len(features_BTD))
        return features_BTD.square()

    # Padded to 3 frames, 19 clips are more than the store's 20 of 2 or 3.
    if not too_large:
        monkeypatch.setattr(FeatureStore, "num_bytes", 10**6)
    loader = loader_of(three_views, random_view, reduce=reduce)
    plain = loader_of(three_views, random_view)
    for epoch in range(3):
        for each in (loader, plain):
            each.sampler.set_epoch(epoch)
        for found, expected in zip(loader, plain, strict=True):
            wanted = expected.features_BVTD if too_large else expected.features_BVTD.square()
            assert torch.equal(found.features_BVTD, wanted)
            assert all(torch.equal(a, b) for a, b in zip(found[1:4], expected[1:4], strict=True))
            assert found.is_reduced is not too_large
            assert not expected.is_reduced
    assert sum(seen) == (8 if too_large else 3 * 19)


def test_on_a_gpu_the_store_is_held_there(
    three_views: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(three_views, "hold_on", asked.append)
    loader = loader_of(three_views, random_view=True)
    list(loader)
    assert asked == []
    loader.device = "cuda:1"
    list(loader)
    assert asked == ["cuda:1"]
