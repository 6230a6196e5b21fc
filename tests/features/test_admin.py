"""Stores are described, checked, cleaned, imported and exported."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected
from actionrnn.features.admin import (
    discard,
    export_features,
    import_features,
    info,
    prune,
    store_folders,
    verify,
)
from actionrnn.features.extract import ensure_features
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import BackboneConfig, FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)
IMPORTED = FeatureSettings(BackboneConfig("import:mine"))


def array(seed: int, num_views: int = 1, num_frames: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num_views, num_frames, 4), np.float32)


def manifest_of(root: Path, video_ids: list[str]) -> Manifest:
    table = pd.DataFrame({"video_id": video_ids, "path": [f"{v}.mp4" for v in video_ids]})
    return Manifest(root, table.assign(label="a", split1="train"), ["a"])


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
    notes, half = store.folder / "notes.txt", store.folder / ".shard.1234.tmp"
    for path in (notes, half, store.folder / ".being_written.tmp"):
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
    old, young = store.folder / ".a.tmp", store.folder / ".b.tmp"
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    (store.folder / "notes.safetensors").write_text("foreign")
    doomed = prune(store.folder, dry_run=True)
    assert {(p.path, p.reason) for p in doomed} == {(first, "superseded"), (old, "unfinished")}
    assert first.exists()
    prune(store.folder)
    assert not first.exists()
    assert not old.exists()
    assert young.exists()
    assert (store.folder / "notes.safetensors").exists()
    assert len(FeatureStore.open(store.folder).video_ids) == 4


def test_prune_keeps_the_stores_that_are_named(store: FeatureStore, tmp_path: Path) -> None:
    other = FeatureStore.create(tmp_path, FeatureSpec(FeatureSettings(), "pyav 1", "11" * 32))
    with pytest.raises(ActionRNNError, match="holds no store nosuch; known: "):
        prune(tmp_path, keep=["nosuch"])
    assert [p.path for p in prune(tmp_path, keep=[store.folder.name])] == [other.folder]
    assert store_folders(tmp_path) == [store.folder]


@pytest.mark.parametrize("file_format", ["npy", "safetensors"])
@pytest.mark.parametrize("num_views", [1, 2])
def test_imported_features_train_like_any_and_export_again(
    tmp_path: Path, file_format: str, num_views: int
) -> None:
    ids = ["x", "deep/y", "z"]
    source = tmp_path / "source"
    expected = {name: array(k, num_views, 2 + k) for k, name in enumerate(ids)}
    for name, values in expected.items():
        path = source / f"{name}.{file_format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = values[0] if num_views == 1 else values
        np.save(path, values) if file_format == "npy" else save_file({"f": values}, path)
    manifest = manifest_of(tmp_path, ids)
    import_features(manifest, source, tmp_path / "features", "mine")
    store = ensure_features(manifest, IMPORTED, tmp_path / "features")
    assert store.num_views == num_views
    features, lengths = store.gather(ids, num_views - 1)
    assert lengths.tolist() == [2, 3, 4]
    assert np.array_equal(features[1, :3].numpy(), expected["deep/y"][-1])
    assert export_features(store, tmp_path / "out", file_format) == 3
    again = import_features(manifest, tmp_path / "out", tmp_path / "features2", "mine")
    assert all(np.array_equal(again.read(name), expected[name]) for name in ids)
    assert not list((tmp_path / "out").rglob(".*"))


def test_clips_without_imported_features_are_failures(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array(0))
    manifest = manifest_of(tmp_path, ["a", "b"])
    store = import_features(manifest, tmp_path, tmp_path / "f", "mine")
    assert "has no b.npy or .safetensors" in store.failures["b"]
    with pytest.raises(DataRejected, match="1 of 2 clips"):
        ensure_features(manifest, IMPORTED, tmp_path / "f")
    np.save(tmp_path / "b.npy", array(1))
    assert not import_features(manifest, tmp_path, tmp_path / "f", "mine").failures


def test_features_never_imported_cannot_be_extracted(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match="bring them in with: actionrnn features import"):
        ensure_features(manifest_of(tmp_path, ["a"]), IMPORTED, tmp_path / "f")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3), np.int64), r"wanted float \(T, D\) or \(V, T, D\), found int64"),
        (np.zeros(3, np.float32), "found float32"),
        (np.full((2, 3), np.nan, np.float32), "not all its values are finite"),
        (np.array(["a"], object), "not one array of features"),
    ],
)
def test_what_is_no_feature_is_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(ActionRNNError, match=message):
        import_features(manifest_of(tmp_path, ["a"]), tmp_path, tmp_path / "f", "mine")


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match=r"video_id '\.\./a' would be a file outside"):
        import_features(manifest_of(tmp_path, ["../a"]), tmp_path, tmp_path / "f", "mine")


def test_nothing_to_import_is_said(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match=r"not one of the 1 clips; wanted files like a\.npy"):
        import_features(manifest_of(tmp_path, ["a"]), tmp_path, tmp_path / "f", "mine")
    shutil.rmtree(tmp_path / "f")
