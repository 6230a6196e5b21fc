"""Features go out and come in, a file a clip, and train like any."""

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
