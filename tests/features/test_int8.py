"""Int8 stands for float32 only where a sample of clips says that it may."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features import int8
from actionrnn.features.extract import ensure_features, extract_clip, load_backbone
from actionrnn.features.int8 import Int8Check, compare
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

SETTINGS = FeatureSettings(
    BackboneConfig("squeezenet1_1", "random"),
    Sampling(num_frames=3),
    Transform(size=64, resize="squash"),
    runtime="openvino-int8",
)


def clips_of_two_classes(count: int = 40) -> tuple[list[Tensor], list[str]]:
    generator = torch.Generator().manual_seed(0)
    features = []
    for k in range(count):
        centre = torch.zeros(32)
        centre[k % 2] = 3.0
        features.append(centre + torch.randn(5, 32, generator=generator))
    return features, ["walk" if k % 2 else "run" for k in range(count)]


def test_equal_features_pass_and_lose_nothing() -> None:
    features, labels = clips_of_two_classes()
    found = compare(features, features, labels)
    assert found.passed
    assert found.mean_cosine == pytest.approx(1.0)
    assert found.float32_accuracy == found.int8_accuracy > 0.9
    assert found.num_clips == 40


def test_features_that_point_elsewhere_do_not_pass() -> None:
    features, labels = clips_of_two_classes()
    noisy = [each + torch.randn(each.shape) for each in features]
    found = compare(features, noisy, labels)
    assert not found.passed
    assert f"{found.mean_cosine:.4f} on average (at least 0.99 is wanted)" in str(found)


def test_features_that_lost_the_classes_do_not_pass_however_near() -> None:
    features, labels = clips_of_two_classes()
    common = 100 * torch.ones(32)
    near = [common + each for each in features]
    lost = [common + each - each.mean(0) for each in features]
    found = compare(near, lost, labels)
    assert found.least_cosine > 0.99
    assert found.int8_accuracy < 0.8 < found.float32_accuracy
    assert not found.passed


def test_one_wild_frame_is_enough_to_fail() -> None:
    features, labels = clips_of_two_classes()
    wild = [each.clone() for each in features]
    wild[7][2] *= -1
    assert compare(features, wild, labels).least_cosine == pytest.approx(-1.0)
    assert not Int8Check(0.999, 0.9, 0.8, 0.8, 100).passed
    assert Int8Check(0.999, 0.98, 0.8, 0.79, 100).passed
    assert not Int8Check(0.999, 0.98, 0.8, 0.75, 100).passed


@pytest.fixture
def manifest(tiny_data: Path, tmp_path: Path) -> Manifest:
    whole = Manifest.load(tiny_data)
    table = whole.table.iloc[:24].reset_index(drop=True)
    for path in table["path"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tiny_data / path, tmp_path / path)
    return Manifest(tmp_path, table, whole.class_names)


@pytest.mark.slow
def test_a_network_is_quantised_once_checked_and_found_again(
    manifest: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setattr(int8, "LEAST_COSINE", -1.0)  # these weights were never trained
    monkeypatch.setattr(int8, "LEAST_MEAN_COSINE", 0.5)
    monkeypatch.setattr(int8, "MOST_LOST_ACCURACY", 1.0)
    folder = tmp_path / "f"
    store = ensure_features(manifest, SETTINGS, folder, num_workers=1)
    assert "int8 is good enough: on " in capsys.readouterr().err
    assert ", int8 " in store.spec.runtime
    expected = ensure_features(
        manifest, replace(SETTINGS, runtime="openvino"), tmp_path / "g", num_workers=1
    )
    name = store.video_ids[0]
    one, other = store.read(name).ravel(), expected.read(name).ravel()
    assert not np.array_equal(one, other)
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.5
    backbone = load_backbone(store.spec, folder)
    path = manifest.video_paths()[manifest.table["video_id"].tolist().index(name)]
    assert np.array_equal(extract_clip(path, SETTINGS, backbone).numpy(), store.read(name))
    monkeypatch.setattr(int8, "quantize", pytest.fail)
    assert ensure_features(manifest, SETTINGS, folder).folder == store.folder
    (network,) = folder.glob("int8-*.safetensors")
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(ActionRNNError, match="is not the int8 network that made the features"):
        load_backbone(store.spec, folder)
    network.unlink()
    with pytest.raises(ActionRNNError, match="bring it back, or extract them again"):
        load_backbone(store.spec, folder)


@pytest.mark.slow
def test_a_network_that_int8_spoils_is_refused_with_the_figures(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setattr(int8, "LEAST_MEAN_COSINE", 1.0)
    with pytest.raises(ActionRNNError, match=r"int8 is refused: on 16 clips the cosine .* is 0\.9"):
        ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    assert not list((tmp_path / "f").iterdir())


def test_too_few_clips_to_check_are_said(manifest: Manifest, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    few = Manifest(manifest.root, manifest.table.iloc[:6], manifest.class_names)
    with pytest.raises(ActionRNNError, match=r"needs at least 15 readable clips .* found 6"):
        ensure_features(few, SETTINGS, tmp_path / "f", num_workers=1)
