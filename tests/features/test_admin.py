"""Stores are described, checked, cleaned, imported and exported."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from actionrnn.errors import ActionRNNError
from actionrnn.features.admin import (
    discard,
    info,
    prune,
    store_folders,
    verify,
)
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)


def array(seed: int, num_views: int = 1, num_frames: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num_views, num_frames, 4), np.float32)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    made = FeatureStore.create(tmp_path, SPEC)
    for first in (0, 2):
        clips = [(Entry(f"c{k}", "s", 3), array(k)) for k in (first, first + 1)]
        write_shard(made.folder, clips)
    write_shard(made.folder, [(Entry("bad", "s", error="broken"), None)])
    return FeatureStore.open(made.folder)


def test_info_tells_what_there_is(store: FeatureStore) -> None:
    about = info(store.folder)
    assert (about.num_clips, about.num_failures, about.num_views, about.feature_dim) == (4, 1, 1, 4)
    assert about.num_bytes == sum(p.stat().st_size for p in store.folder.iterdir())
    assert about.spec == SPEC
    assert not about.damaged


def test_stores_are_found_by_their_own_folder_or_their_parent(store: FeatureStore) -> None:
    assert store_folders(store.folder) == store_folders(store.folder.parent) == [store.folder]
    with pytest.raises(ActionRNNError, match="is no feature store and holds none"):
        store_folders(store.folder.parent.parent / "nothing")


def test_verify_names_what_is_damaged_and_discard_sets_it_aside(store: FeatureStore) -> None:
    assert verify(store.folder) == {}
    shard = sorted(store.folder.glob("*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    foreign = store.folder / "other.safetensors"
    foreign.write_bytes(content)
    notes, half = store.folder / "notes.txt", store.folder / ".shard.1234-0123abcd"
    for path in (notes, half, store.folder / ".being_written.99-0123abcd"):
        path.write_text("not a shard")
    os.utime(half, (time.time() - 7200,) * 2)
    found = verify(store.folder)
    assert found.keys() == {shard, foreign, notes, half}
    assert "is no file of a feature store" in found[notes]
    assert "is half-written" in found[half]
    assert "its checksum differs" in found[shard]
    assert "its name is not that of a shard" in found[foreign]
    assert [path.name for path in discard(found)] == [shard.name + ".damaged"]
    assert foreign.exists()
    assert sorted(FeatureStore.open(store.folder).video_ids) == ["c2", "c3"]


def test_prune_deletes_what_nobody_reads(store: FeatureStore) -> None:
    first = sorted(store.folder.glob("*.safetensors"))[0]
    write_shard(store.folder, [(Entry(f"c{k}", "new", 3), array(k)) for k in (0, 1)])
    old, young = store.folder / ".a.1-0123abcd", store.folder / ".b.2-0123abcd"
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    (store.folder / "notes.safetensors").write_text("foreign")
    killed = store.folder / ".import-0123abcd"  # an import that was killed
    killed.mkdir()
    os.utime(killed, (time.time() - 7200,) * 2)
    doomed = prune(store.folder, dry_run=True)
    assert {(p.path, p.reason) for p in doomed} == {
        (first, "superseded"),
        (old, "unfinished"),
        (killed, "unfinished"),
    }
    assert first.exists()
    prune(store.folder)
    assert not first.exists()
    assert not old.exists()
    assert not killed.exists()
    assert young.exists()
    assert (store.folder / "notes.safetensors").exists()
    assert len(FeatureStore.open(store.folder).video_ids) == 4


def test_prune_keeps_the_stores_that_are_named(store: FeatureStore, tmp_path: Path) -> None:
    other = FeatureStore.create(tmp_path, FeatureSpec(FeatureSettings(), "pyav 1", "11" * 32))
    with pytest.raises(ActionRNNError, match="holds no store nosuch; known: "):
        prune(tmp_path, keep=["nosuch"])
    assert [p.path for p in prune(tmp_path, keep=[store.folder.name])] == [other.folder]
    assert store_folders(tmp_path) == [store.folder]
