"""Features go out and come in, a file a clip, and train like any."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected
from actionrnn.features.exchange import export_features, import_features
from actionrnn.features.extract import ensure_features
from actionrnn.features.spec import BackboneConfig, FeatureSettings

IMPORTED = FeatureSettings(BackboneConfig("import:mine"))


def array(seed: int, num_views: int = 1, num_frames: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num_views, num_frames, 4), np.float32)


def manifest_of(root: Path, video_ids: list[str]) -> Manifest:
    table = pd.DataFrame({"video_id": video_ids, "path": [f"{v}.mp4" for v in video_ids]})
    return Manifest(root, table.assign(label="a", split1="train"), ["a"])


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
    with pytest.raises(ActionRNNError, match=r"'\.\./a\.npy' would be a file outside"):
        import_features(manifest_of(tmp_path, ["../a"]), tmp_path, tmp_path / "f", "mine")


def test_nothing_to_import_is_said(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match=r"not one of the 1 clips; wanted files like a\.npy"):
        import_features(manifest_of(tmp_path, ["a"]), tmp_path, tmp_path / "f", "mine")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("video_id", "path", "file"),
    [
        ("clip", "clip.avi", "clip.npy"),
        ("clip", "clip.avi", "clip.avi.npy"),
        ("a/clip.avi", "a/clip.avi", "a/clip.npy"),
        ("a/clip.avi", "a/clip.avi", "a/clip.avi.npy"),
        ("clip.npy", "clip.npy", "clip.npy"),
        ("clip", "clip.npy", "clip.npy"),
        ("clip.npy", "clip.npy", "clip.npy.safetensors"),
        ("v1.2", "v1.2.mp4", "v1.2.npy"),
    ],
)
def test_names_go_with_and_without_endings(
    tmp_path: Path, video_id: str, path: str, file: str
) -> None:
    table = pd.DataFrame({"video_id": [video_id], "path": [path], "label": "a", "split1": "train"})
    manifest = Manifest(tmp_path, table, ["a"])
    target = tmp_path / "in" / file
    target.parent.mkdir(parents=True)
    if file.endswith(".npy"):
        np.save(target, array(0))
    else:
        save_file({"f": array(0)}, target)
    store = import_features(manifest, tmp_path / "in", tmp_path / "f", "mine")
    assert np.array_equal(store.read(video_id), array(0))
    export_features(store, tmp_path / "out", "npy")
    again = import_features(manifest, tmp_path / "out", tmp_path / "g", "mine")
    assert np.array_equal(again.read(video_id), array(0))


def test_an_ending_that_is_part_of_the_name_is_not_taken_off(tmp_path: Path) -> None:
    np.save(tmp_path / "v1.npy", array(0))
    with pytest.raises(ActionRNNError, match="features of not one of the 1 clips"):
        import_features(manifest_of(tmp_path, ["v1.2"]), tmp_path, tmp_path / "f", "mine")


def test_one_file_is_not_two_clips(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array(0))
    table = pd.DataFrame({"video_id": ["a.avi", "a.mp4"], "path": ["a.avi", "a.mp4"]})
    manifest = Manifest(tmp_path, table.assign(label="a", split1="train"), ["a"])
    with pytest.raises(ActionRNNError, match=r"features of 2 clips \(a\.avi, a\.mp4\)"):
        import_features(manifest, tmp_path, tmp_path / "f", "mine")


@pytest.mark.parametrize("second", [array(1, 2, 5), np.ones((1, 3, 9), np.float32), array(3)])
def test_features_of_any_size_and_views_take_the_place_of_the_old(
    tmp_path: Path, second: np.ndarray
) -> None:
    manifest = manifest_of(tmp_path, ["a", "b"])
    for values in (array(0), second):
        for name in ("a", "b"):
            np.save(tmp_path / f"{name}.npy", values)
        import_features(manifest, tmp_path, tmp_path / "f", "mine")
        store = ensure_features(manifest, IMPORTED, tmp_path / "f")
        assert not store.damaged
        assert np.array_equal(store.read("b"), values)
        assert store.gather(["a", "b"])[0].shape == (2, *values.shape[1:])
    assert len(list((tmp_path / "f").iterdir())) == 1


def test_an_import_that_fails_leaves_the_old_features(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, ["a", "b"])
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", array(0))
    import_features(manifest, tmp_path, tmp_path / "f", "mine")
    np.save(tmp_path / "a.npy", array(1))
    np.save(tmp_path / "b.npy", array(1, 2))
    with pytest.raises(ActionRNNError, match="2 views of D = 4, but the clips before have 1 of 4"):
        import_features(manifest, tmp_path, tmp_path / "f", "mine")
    store = ensure_features(manifest, IMPORTED, tmp_path / "f")
    assert np.array_equal(store.read("a"), array(0))
    assert len(list((tmp_path / "f").iterdir())) == 1


def test_features_too_large_for_their_type_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 3), 1e9, np.float32))
    manifest = manifest_of(tmp_path, ["a"])
    with pytest.raises(ActionRNNError, match="not all its values are finite in float16"):
        import_features(manifest, tmp_path, tmp_path / "f", "mine", "float16")


@pytest.fixture
def two_datasets(tmp_path: Path) -> list[Manifest]:
    made = []
    for number, root in enumerate((tmp_path / "one", tmp_path / "other")):
        manifest = manifest_of(root, ["a", "b"])
        manifest.save()
        for name in ("a", "b"):
            np.save(root / f"{name}.npy", array(number))
        made.append(manifest)
    return made


def test_two_datasets_never_share_imported_features(
    two_datasets: list[Manifest], tmp_path: Path
) -> None:
    one, other = two_datasets
    shared = tmp_path / "shared"
    import_features(one, one.root, shared, "mine")
    with pytest.raises(ActionRNNError, match=r"features of another dataset, .*one, whose clips"):
        ensure_features(other, IMPORTED, shared)
    with pytest.raises(ActionRNNError, match="under another --name"):
        import_features(other, other.root, shared, "mine")
    assert np.array_equal(ensure_features(one, IMPORTED, shared).read("a"), array(0))
    import_features(other, other.root, shared, "theirs")
    theirs = FeatureSettings(BackboneConfig("import:theirs"))
    assert np.array_equal(ensure_features(other, theirs, shared).read("a"), array(1))


def test_a_dataset_that_moved_or_was_copied_keeps_its_imported_features(
    two_datasets: list[Manifest], tmp_path: Path
) -> None:
    one, _ = two_datasets
    import_features(one, one.root, tmp_path / "shared", "mine")
    import_features(one, one.root, one.root / "features", "mine")
    shutil.copytree(one.root, tmp_path / "copy")
    copy = Manifest.load(tmp_path / "copy")
    assert ensure_features(copy, IMPORTED, copy.root / "features").video_ids == ["a", "b"]
    one.root.rename(tmp_path / "moved")
    moved = Manifest.load(tmp_path / "moved")
    assert ensure_features(moved, IMPORTED, tmp_path / "shared").video_ids == ["a", "b"]


def test_another_manifest_of_the_same_files_shares_their_features(
    two_datasets: list[Manifest], tmp_path: Path
) -> None:
    one, _ = two_datasets
    import_features(one, one.root, tmp_path / "shared", "mine")
    table = one.table.assign(path=[str(path) for path in one.video_paths()]).iloc[1:]
    inner = Manifest(tmp_path / "inner", table.reset_index(drop=True), one.class_names)
    assert "b" in ensure_features(inner, IMPORTED, tmp_path / "shared")
