"""Shards are whole or not there; damage is found, named, and costs its own clips only."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from actionrnn.errors import ActionRNNError
from actionrnn.features.shard import Entry, read_shard, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)


def clip(name: str, num_frames: int = 3, dim: int = 5) -> tuple[Entry, np.ndarray]:
    rng = np.random.default_rng(abs(hash(name)) % 2**32)
    values = rng.standard_normal((1, num_frames, dim)).astype(np.float32)
    return Entry(name, f"1-{name}", num_frames), values


@pytest.fixture
def filled(tmp_path: Path) -> tuple[FeatureStore, dict[str, np.ndarray], list[Path]]:
    store = FeatureStore.create(tmp_path, SPEC)
    clips = [clip(f"c{number}", num_frames=2 + number) for number in range(6)]
    paths = [write_shard(store.folder, clips[k : k + 2]) for k in (0, 2, 4)]
    expected = {entry.video_id: values for entry, values in clips}
    return FeatureStore.open(store.folder), expected, paths


def test_what_is_written_is_read(filled) -> None:
    store, expected, _ = filled
    assert sorted(store.video_ids) == sorted(expected)
    for name, values in expected.items():
        assert np.array_equal(store.read(name), values)
        assert name in store
    assert store.feature_dim == 5
    features, lengths = store.gather(["c5", "c0", "c3"])
    assert lengths.tolist() == [7, 2, 5]
    assert np.array_equal(features[1, :2].numpy(), expected["c0"][0])
    assert not features[1, 2:].any()


def test_failures_are_rows_and_the_newest_word_counts(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path, SPEC)
    write_shard(store.folder, [(Entry("a", "1", error="broken"), None), clip("b")])
    opened = FeatureStore.open(store.folder)
    assert opened.failures == {"a": "broken"}
    assert "a" not in opened
    write_shard(store.folder, [clip("a")])
    assert "a" in FeatureStore.open(store.folder)
    assert FeatureStore.open(store.folder).failures == {}
    write_shard(store.folder, [(Entry("b", "2", error="gone"), None)])
    assert "b" not in FeatureStore.open(store.folder)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_shard_costs_its_own_clips_only(filled, keep: int) -> None:
    store, _, paths = filled
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[:keep])
    opened = FeatureStore.open(store.folder)
    assert list(opened.damaged) == [paths[1]]
    lost = set(store.video_ids) - set(opened.video_ids)
    assert lost == {"c2", "c3"}
    assert set(opened.missing([(f"c{k}", f"1-c{k}") for k in range(6)])) == lost


def test_a_flipped_byte_is_found_by_its_checksum(filled) -> None:
    _, _, paths = filled
    content = bytearray(paths[2].read_bytes())
    content[-3] ^= 1
    paths[2].write_bytes(content)
    read_shard(paths[0]).verify()
    with pytest.raises(ActionRNNError, match=f"{paths[2].name} is damaged"):
        read_shard(paths[2]).verify()


def test_foreign_files_are_named_and_left_alone(filled) -> None:
    store, expected, _ = filled
    (store.folder / "notes.txt").write_text("mine")
    foreign = store.folder / "foreign.safetensors"
    foreign.write_bytes(b"not a shard at all")
    opened = FeatureStore.open(store.folder)
    assert set(opened.video_ids) == set(expected)
    assert "is not a whole feature shard" in opened.damaged[foreign]
    assert foreign.exists()


def test_a_full_disk_leaves_no_half_shard(filled, monkeypatch: pytest.MonkeyPatch) -> None:
    store, expected, _ = filled

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ActionRNNError, match="the disk is full"):
        write_shard(store.folder, [clip("new")])
    monkeypatch.undo()
    assert not [name for name in os.listdir(store.folder) if name.startswith(".")]
    assert set(FeatureStore.open(store.folder).video_ids) == set(expected)


def test_a_folder_without_a_spec_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match="is not a feature store"):
        FeatureStore.open(tmp_path)
