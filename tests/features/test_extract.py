"""Extraction: the same features however they are made; nothing lost, nothing done twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import DataRejected
from actionrnn.features import extract
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.extract import ensure_features, extract_clip
from actionrnn.features.spec import BackboneConfig, FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.video.errors import VideoError
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

SETTINGS = FeatureSettings(
    BackboneConfig("squeezenet1_1", "random"),
    Sampling(num_frames=4),
    Transform(size=32, resize="squash"),
)


@pytest.fixture
def manifest(copied: Callable[[slice], Manifest]) -> Manifest:
    """Ten clips of the tiny dataset, in a folder of their own."""
    small = copied(slice(10))
    small.table.loc[0, "end_seconds"] = 0.5  # a clip shorter than the others
    small.save()
    return small


def features_of(store: FeatureStore) -> dict[str, np.ndarray]:
    return {video_id: store.read(video_id) for video_id in store.video_ids}


def same(first: FeatureStore, second: FeatureStore) -> bool:
    one, other = features_of(first), features_of(second)
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.usefixtures("real_decoders")
def test_the_engine_gives_what_one_clip_alone_gives(manifest: Manifest, tmp_path: Path) -> None:
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=2)
    backbone = FrozenBackbone(SETTINGS.backbone)
    for video_id, path in zip(manifest.table["video_id"], manifest.video_paths(), strict=True):
        end_seconds = 0.5 if video_id == manifest.table["video_id"][0] else None
        alone = extract_clip(path, SETTINGS, backbone, end_seconds=end_seconds).numpy()
        assert np.array_equal(store.read(video_id), alone)
    assert store.feature_dim == backbone.feature_dim


def test_a_second_run_touches_neither_decoder_nor_backbone(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    monkeypatch.setattr(extract, "FrozenBackbone", pytest.fail)
    monkeypatch.setattr(extract, "DecoderPool", pytest.fail)
    assert same(first, ensure_features(manifest, SETTINGS, tmp_path / "f"))


def test_only_changed_files_are_read_again(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = features_of(ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1))
    paths = manifest.video_paths()
    shutil.copyfile(paths[1], paths[2])
    after = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    ids = manifest.table["video_id"].tolist()
    assert "1 of 10 clips to extract" in capsys.readouterr().err
    assert np.array_equal(after.read(ids[2]), before[ids[1]])
    assert all(np.array_equal(after.read(i), before[i]) for i in ids if i != ids[2])


def test_other_settings_are_other_features_and_the_difference_is_said(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    capsys.readouterr()
    other = replace(SETTINGS, sampling=Sampling(num_frames=5))
    second = ensure_features(manifest, other, tmp_path / "f", num_workers=1)
    assert "differ in sampling.num_frames: 4, here 5" in capsys.readouterr().err
    assert first.folder != second.folder
    assert second.read(second.video_ids[0]).shape[1] == 5


def test_unreadable_clips_are_rows_with_their_reason(manifest: Manifest, tmp_path: Path) -> None:
    manifest.video_paths()[3].write_bytes(b"")
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=2)
    bad = manifest.table["video_id"][3]
    assert len(store.video_ids) == 9
    assert "the file is empty" in store.failures[bad]
    assert bad not in store


def test_a_repaired_clip_is_read_at_the_next_run(manifest: Manifest, tmp_path: Path) -> None:
    path = manifest.video_paths()[3]
    content = path.read_bytes()
    path.write_bytes(b"")
    ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    path.write_bytes(content)
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    assert not store.failures


def test_too_many_unreadable_clips_reject_the_data(manifest: Manifest, tmp_path: Path) -> None:
    for path in manifest.video_paths()[:3]:
        path.unlink()
    with pytest.raises(DataRejected, match="3 of 10 clips could not be read"):
        ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    with pytest.raises(VideoError, match="no such file"):
        ensure_features(manifest, SETTINGS, tmp_path / "g", num_workers=1, on_bad_video="raise")


def test_views_are_kept_apart(manifest: Manifest, tmp_path: Path) -> None:
    settings = replace(
        SETTINGS,
        sampling=Sampling(num_frames=3, num_temporal_views=2),
        transform=Transform(size=32, resize="squash", flip=True),
    )
    store = ensure_features(manifest, settings, tmp_path / "f", num_workers=1)
    assert store.num_views == 4
    video_id = store.video_ids[0]
    views = store.read(video_id)
    assert views.shape[:2] == (4, 3)
    for view in range(4):
        features, lengths = store.gather([video_id], view)
        assert np.array_equal(features[0].numpy(), views[view])
        assert lengths.tolist() == [3]


def test_clips_of_different_length_are_padded_with_zeros(
    manifest: Manifest, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, sampling=Sampling("fps", num_frames=50, fps=8))
    store = ensure_features(manifest, settings, tmp_path / "f", num_workers=1)
    features, lengths = store.gather(store.video_ids)
    assert len(set(lengths.tolist())) > 1
    for row, video_id in enumerate(store.video_ids):
        length = int(lengths[row])
        assert np.array_equal(features[row, :length].numpy(), store.read(video_id)[0])
        assert not features[row, length:].any()


def test_half_precision_is_stored_and_read_as_float(manifest: Manifest, tmp_path: Path) -> None:
    settings = replace(SETTINGS, dtype="float16")
    store = ensure_features(manifest, settings, tmp_path / "f", num_workers=1)
    assert store.read(store.video_ids[0]).dtype == np.float16
    assert store.gather(store.video_ids[:2])[0].dtype == torch.float32


def test_a_spec_survives_being_plain_data() -> None:
    spec = FeatureSpec(SETTINGS, "decord 0.6.0", "ab" * 32)
    assert FeatureSpec.from_dict(spec.to_dict()) == spec
    other = replace(spec, weights_sha256="cd" * 32)
    assert other.fingerprint != spec.fingerprint
    assert spec.difference(other) == ["weights_sha256: abababababab..., here cdcdcdcdcdcd..."]


@pytest.mark.slow
def test_kill_at_any_moment_loses_and_corrupts_nothing(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ensure_features(manifest, SETTINGS, tmp_path / "unbroken", num_workers=1)
    script = (
        "import actionrnn.features.extract as e, sys\n"
        "from pathlib import Path\n"
        "from actionrnn.datasets.manifest import Manifest\n"
        "from tests_settings import SETTINGS\n"
        "e.SECONDS_PER_SHARD = 0.0\n"
        f"e.ensure_features(Manifest.load({str(tmp_path)!r}), SETTINGS, "
        f"Path({str(tmp_path / 'broken')!r}), num_workers=1, progress=False)\n"
    )
    (tmp_path / "tests_settings.py").write_text(
        "from actionrnn.features.spec import *\n"
        "from actionrnn.video.sampling import Sampling\n"
        "from actionrnn.video.transform import Transform\n"
        f"SETTINGS = {SETTINGS!r}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    rng = np.random.default_rng(0)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        time.sleep(float(rng.uniform(3.0, 9.0)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    final = ensure_features(manifest, SETTINGS, tmp_path / "broken", num_workers=1)
    assert same(final, expected)
    assert not final.damaged


@pytest.mark.real
def test_real_clips_with_real_weights(shared_data: Path, tmp_path: Path) -> None:
    backbone = BackboneConfig(
        "mobilenet_v2", str(shared_data / "weights/mobilenet_v2_imagenet.safetensors")
    )
    settings = FeatureSettings(backbone, Sampling(num_frames=4), Transform(size=96))
    clip = shared_data / "surveillance-fights/fight/fi001.mp4"
    features = extract_clip(clip, settings, FrozenBackbone(backbone))
    assert features.shape == (1, 4, 1280)
    assert features.std() > 0.1
