"""The same picture in another file is found; other pictures, and black ones, are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.datasets.content_hash import CONTENT, equal_files, with_content
from actionrnn.datasets.duplicates import find_duplicates
from actionrnn.datasets.file_checks import unreadable
from actionrnn.datasets.leaks import LeakError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official.fights import prepare as prepare_fights
from actionrnn.datasets.picture_hash import (
    SIMILARITY,
    NearDuplicate,
    across,
    find_near_duplicates,
    fingerprint,
    fingerprints,
    segments_of,
    similar_features,
)
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.video.writer import write_video


def place(seed: int, size: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8).repeat(size, 0).repeat(size, 1)
    return np.stack([picture] * 6)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("clips")
    write_video(top / "a.mp4", place(0), 25, options={"crf": "18"})
    write_video(top / "a_large.avi", place(0, size=16), 25, codec="mpeg4")
    write_video(top / "a_dim.mp4", (place(0) * 0.7).astype(np.uint8), 25)
    write_video(top / "b.mp4", place(1), 25)
    for number in (1, 2):
        write_video(top / f"black{number}.mp4", np.zeros((5 + number, 64, 96, 3), np.uint8), 25)
    return top


def manifest_of(folder: Path, splits: dict[str, str]) -> Manifest:
    table = pd.DataFrame({"video_id": list(splits), "path": list(splits), "label": "x"})
    return Manifest(folder, table.assign(split1=list(splits.values())), ["x"])


def test_other_encodings_are_found_and_other_pictures_not(clips: Path) -> None:
    names = {"a.mp4": "train", "a_large.avi": "test", "a_dim.mp4": "train", "b.mp4": "test"}
    manifest = manifest_of(clips, {**names, "black1.mp4": "train", "black2.mp4": "test"})
    signs, faults = fingerprints(segments_of(manifest))
    assert not faults
    pairs = find_near_duplicates(signs)
    assert {(pair.first, pair.second) for pair in pairs} == {(0, 1), (0, 2), (1, 2)}
    assert all(pair.similarity >= SIMILARITY for pair in pairs)
    crossing = across(pairs, manifest, "split1")
    assert {(pair.first, pair.second) for pair in crossing} == {(0, 1), (1, 2)}


def test_pairs_are_those_of_a_plain_comparison() -> None:
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 0, 1], (30, 400), p=[0.4, 0.2, 0.4]).astype(np.float32)
    signs[7] = np.where(rng.random(400) < 0.9, signs[3], 0)
    found = {(pair.first, pair.second): pair.similarity for pair in find_near_duplicates(signs)}
    for i in range(30):
        for j in range(i + 1, 30):
            either = (signs[i] != 0) | (signs[j] != 0)
            agree = (signs[i] == signs[j]) & (signs[i] != 0)
            differ = signs[i] * signs[j] < 0
            share = 0.5 + (agree.sum() - differ.sum()) / (2 * either.sum())
            assert ((i, j) in found) == (share >= SIMILARITY)
            if (i, j) in found:
                assert found[i, j] == pytest.approx(share, abs=1e-6)
    assert set(found) == {(3, 7)}


def test_close_features_are_found() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20, 64)).astype(np.float32)
    features[11] = 3 * features[4] + 0.01
    assert [(p.first, p.second) for p in similar_features(features)] == [(4, 11)]


def test_a_part_of_a_file_has_its_own_fingerprint(tmp_path: Path) -> None:
    frames = np.concatenate([place(0), place(1)])
    write_video(tmp_path / "two.mp4", frames, 25, options={"crf": "18"})
    path = tmp_path / "two.mp4"
    signs = np.stack([fingerprint(path, None, 0.24), fingerprint(path, 0.24, None)])
    assert not find_near_duplicates(signs)


def test_clips_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("no video")
    signs, faults = fingerprints([(tmp_path / "x.mp4", None, None), (tmp_path / "y", None, None)])
    assert faults == {0: "this is text, not a video", 1: "there is no such file"}
    assert not signs.any()
    assert not find_near_duplicates(signs)
    assert unreadable([tmp_path / "x.mp4"]) == {tmp_path / "x.mp4": "this is text, not a video"}


def test_equal_files_have_a_content(tmp_path: Path) -> None:
    for name, content in {"a": b"one", "b": b"two", "c": b"one", "d": b"longer", "e": b""}.items():
        (tmp_path / name).write_bytes(content)
    for name in ("f", "g"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "00001.jpg").write_bytes(b"pixels")
    paths = [tmp_path / name for name in "abcdefg"] + [tmp_path / "a", tmp_path / "gone"]
    a, b, c, d, e, f, g, again, gone = equal_files(paths)
    assert a == c == again
    assert f == g
    assert a != f
    assert [b, d, e, gone] == [""] * 4
    assert len(a) == 16


def test_a_content_in_two_parts_leaks(clips: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / name).write_bytes((clips / "a.mp4").read_bytes())
    plain = manifest_of(tmp_path, {"one.mp4": "train", "two.mp4": "test"})
    assert not plain.check_split("split1")
    filled = with_content(plain)
    assert CONTENT in filled.table
    with pytest.raises(LeakError, match=r"content '.*' is in train: one.mp4; test: two.mp4"):
        filled.check_split("split1")
    assert [leak.kind for leak in filled.check_split("split1", allow_leak=True)] == ["content"]


@pytest.mark.real
@pytest.mark.slow
def test_real_recordings_are_told_apart(
    shared_data: Path, tmp_path: Path, make_scene: Callable[..., np.ndarray]
) -> None:
    manifest = prepare_fights(shared_data / "surveillance-fights", tmp_path, check_files=False)
    table = manifest.table[manifest.table["group"].isin(["r01", "r02", "r06"])]
    part = Manifest(tmp_path, table, manifest.class_names)
    signs, _ = fingerprints(segments_of(part))
    groups = part.table["group"].tolist()
    pairs: list[NearDuplicate] = find_near_duplicates(signs)
    assert pairs
    assert all(groups[pair.first] == groups[pair.second] for pair in pairs)


def test_findings_name_the_splits_they_cross(clips: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / name).write_bytes((clips / "a.mp4").read_bytes())
    for name in ("a_large.avi", "b.mp4"):
        (tmp_path / name).write_bytes((clips / name).read_bytes())
    (tmp_path / "bad.mp4").write_text("no video")
    names = ["one.mp4", "two.mp4", "a_large.avi", "b.mp4", "bad.mp4"]
    manifest = manifest_of(
        tmp_path, dict(zip(names, ["train", "train", "test", "test", "train"], strict=True))
    )
    findings, faults = find_duplicates(manifest)
    assert faults == {"bad.mp4": "this is text, not a video"}
    assert [(found.kind, found.first, found.second) for found in findings] == [
        ("looks alike", "one.mp4", "a_large.avi"),
        ("looks alike", "two.mp4", "a_large.avi"),
        ("identical", "one.mp4", "two.mp4"),
    ]
    assert findings[0].crosses == ("split1 (train, test)",)
    assert "in different parts of split1 (train, test)" in str(findings[0])
    assert not findings[2].crosses
    features = np.eye(5, dtype=np.float32)
    features[3] = features[1]
    close, _ = find_duplicates(manifest, features)
    assert [(found.kind, found.first, found.second) for found in close] == [
        ("close features", "two.mp4", "b.mp4"),
        ("identical", "one.mp4", "two.mp4"),
    ]


def test_cached_features_are_compared_without_decoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ["a", "b", "c", "d"]
    table = pd.DataFrame({"video_id": ids, "path": [f"{name}.mp4" for name in ids]})
    table = table.assign(label=["x", "y", "x", "y"], split1=["train", "test", "train", "val"])
    Manifest(tmp_path, table, ["x", "y"]).save()
    store = FeatureStore.create(tmp_path, FeatureSpec(FeatureSettings(), "none", "00")).folder
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(1, 4, 64)).astype(np.float32) for name in "ac"}
    features["b"] = features["a"] + 0.01
    write_shard(store, [(Entry(name, "s", 4), value) for name, value in features.items()])
    assert main(["verify", "--duplicates", str(tmp_path), "--features", str(store)]) == 3
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "a ~ b: close features (1.00); in different parts of split1 (train, test)"
    ]
    assert "1 clips have no features and are not compared: d" in shown.err


def test_folders_of_equal_pictures_are_equal_whatever_lies_beside_them(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / name / "sub").mkdir(parents=True)
        for frame in range(3):
            (tmp_path / name / f"{frame:05}.jpg").write_bytes(bytes([frame, number // 2]) * 50)
    (tmp_path / "a" / "._00000.jpg").write_bytes(b"a Mac's")
    (tmp_path / "b" / "Thumbs.db").write_bytes(b"Windows'")
    first, second, third = equal_files([tmp_path / name for name in "abc"])
    assert first == second != ""
    assert third == ""
