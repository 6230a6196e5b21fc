"""Videos, manifest and features on S3: the whole flow, with the same features as locally."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.features.clip_features import Features
from actionrnn.features.store import FeatureStore
from actionrnn.files import publish_bytes, publish_text
from actionrnn.places import place
from actionrnn.video.errors import VideoError, VideoNotFound
from actionrnn.video.probe import open_container
from actionrnn.video.reader import open_video

ROOT = "s3://bucket/data"


def upload(folder: Path, address: str) -> None:
    import fsspec

    fsspec.filesystem("s3", use_listings_cache=False).put(f"{folder}/", address, recursive=True)


@pytest.fixture(scope="module")
def local(tiny_data: Path, tiny_features: list[str], tmp_path_factory: pytest.TempPathFactory):
    """The features of the tiny dataset, extracted from files."""
    folder = tmp_path_factory.mktemp("local")
    words = [f"--data.root={tiny_data}", f"--data.features_dir={folder}", *tiny_features]
    assert main(["extract", *words, "--workers=1"]) == 0
    (store,) = folder.iterdir()
    return FeatureStore.open(store)


def same(one: FeatureStore, other: FeatureStore) -> bool:
    ids = sorted(one.video_ids)
    return ids == sorted(other.video_ids) and all(
        np.array_equal(one.read(name), other.read(name)) for name in ids
    )


def test_the_whole_flow_on_s3(
    s3: Any, tiny_data: Path, tiny_features: list[str], local: FeatureStore, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    upload(tiny_data, ROOT)
    num_clips = len(Manifest.load(tiny_data).table)
    s3.requests.clear()
    assert main(["extract", f"--data.root={ROOT}", *tiny_features, "--workers=2"]) == 0
    videos = [line for line in s3.requests if line.startswith("GET") and ".mp4" in line]
    assert len(videos) == num_clips
    features = Features.load(ROOT)
    assert same(features.store, local)
    assert str(features.store.folder) == f"{ROOT}/features/{local.folder.name}"
    entries, local_entries = features.store.entries, local.entries
    assert all(entries[k].content == local_entries[k].content for k in entries)

    run = tmp_path / "run"
    words = ["--model.hidden_size=16", "--trainer.max_epochs=2", "--trainer.logger=false"]
    s3.requests.clear()
    fit = ["fit", f"--data.root={ROOT}", "--data.batch_size=8", *tiny_features, *words]
    assert main([*fit, f"--run.folder={run}"]) == 0
    assert not [line for line in s3.requests if ".mp4" in line and "list-type" not in line]
    assert not [line for line in s3.requests if "HEAD" in line and ".safetensors" in line]
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 0
    assert json.loads((run / "metrics.json").read_text())

    saved = torch.load(checkpoint, weights_only=True)
    text = json.dumps(saved, default=str) + (run / "config.yaml").read_text()
    text += (run / "env.json").read_text()
    assert ROOT in text
    assert "a-secret-of-the-test" not in text

    path = Manifest.load(tiny_data).table["path"][0]
    capsys.readouterr()
    told = []
    for video in (str(tiny_data / path), f"{ROOT}/{path}"):
        assert main(["predict", video, "--ckpt_path", str(run), "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["top"] == told[1]["top"]
    assert told[1]["path"] == f"{ROOT}/{path}"
    assert main(["predict", f"{ROOT}/none.mp4", "--ckpt_path", str(run), "--json"]) == 1
    assert "there is no such object" in json.loads(capsys.readouterr().out)["error"]


def test_a_local_manifest_names_videos_on_s3_and_its_parts_share_the_work(
    s3: Any, tiny_data: Path, tiny_features: list[str], local: FeatureStore, tmp_path: Path
) -> None:
    upload(tiny_data, ROOT)
    manifest = Manifest.load(tiny_data)
    paths = [f"{ROOT}/{path}" for path in manifest.table["path"]]
    table = manifest.table.assign(path=paths).drop(columns="content")
    Manifest(tmp_path / "mine", table, manifest.class_names).save()
    words = [f"--data.root={tmp_path / 'mine'}", "--data.features_dir=s3://bucket/elsewhere"]
    for number in range(2):
        shard = f"--shard={number}/2"
        assert main(["extract", *words, *tiny_features, "--workers=1", shard]) == 0
    store = FeatureStore.open(f"s3://bucket/elsewhere/{local.folder.name}")
    assert same(store, local)
    before = set(store.folder.iterdir())
    assert main(["extract", *words, *tiny_features, "--workers=1"]) == 0
    assert set(store.folder.iterdir()) == before


def test_videos_that_changed_or_went_are_read_again_or_counted(
    s3: Any, tiny_data: Path, tiny_features: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import fsspec

    upload(tiny_data, ROOT)
    words = ["extract", f"--data.root={ROOT}", *tiny_features, "--workers=1"]
    assert main(words) == 0
    table = Manifest.load(tiny_data).table
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.put_file(str(tiny_data / table["path"][1]), f"{ROOT}/{table['path'][0]}")
    files.rm(f"{ROOT}/{table['path'][2]}")
    capsys.readouterr()
    assert main(words) == 0
    told = capsys.readouterr().err
    assert f"features: 2 of {len(table)} clips to extract into {ROOT}/features" in told
    store = Features.load(ROOT).store
    assert np.array_equal(store.read(table["video_id"][0]), store.read(table["video_id"][1]))
    assert list(store.failures) == [table["video_id"][2]]
    assert "there is no such object" in store.failures[table["video_id"][2]]
    assert "there is no such object" in (store.folder / "failures.csv").read_text()


def test_what_stays_local_is_said(
    tmp_path: Path, tiny_fit: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        ([*tiny_fit, "--run.root=s3://bucket/runs"], "--run.folder s3://bucket/runs/NAME"),
        (["prepare", "folder", "--root=s3://bucket/d"], "a dataset is prepared on this machine's"),
        (["features", "prune", "s3://bucket/f"], "stores are looked after on this machine's disk"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err


def test_no_manifest_at_an_address_says_so(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--data.root=s3://bucket/none"]) == 1
    assert "no manifest at s3://bucket/none/manifest.csv" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_manifest_is_the_same_on_an_address_and_as_parquet(
    memory: str, tiny_data: Path, tmp_path: Path, form: str
) -> None:
    manifest = Manifest.load(tiny_data)
    if form == "parquet":
        (tmp_path / "manifest.parquet").touch()
    saved = manifest.save(tmp_path)
    assert saved.name == f"manifest.{form}"
    for file in tmp_path.glob("*.*"):
        import fsspec

        fsspec.filesystem("memory").put_file(str(file), f"{memory}/{file.name}")
    for root in (memory, str(tmp_path), f"{memory}/manifest.{form}"):
        read = Manifest.load(root)
        assert read.table.equals(manifest.table)
        assert read.table.dtypes.equals(manifest.table.dtypes)
        assert read.class_names == manifest.class_names
        assert read.split_hash("split1") == manifest.split_hash("split1")
    assert str(Manifest.load(memory).video_paths()[0]).startswith("memory://data/")
    publish_text(tmp_path / ("manifest.csv" if form == "parquet" else "manifest.parquet"), "x")
    with pytest.raises(Exception, match="are both there; remove the older one"):
        Manifest.load(tmp_path)


def test_what_reads_local_videos_alone_says_so() -> None:
    with pytest.raises(VideoNotFound, match="copy it to this machine first"):
        open_container("memory://data/a.mp4")


def test_a_clip_of_an_address_is_read_like_a_file(memory: str, tiny_data: Path) -> None:
    path = tiny_data / Manifest.load(tiny_data).table["path"][0]
    publish_bytes(place(f"{memory}/a.mp4"), path.read_bytes())
    publish_bytes(place(f"{memory}/b.mp4"), path.read_bytes()[:200])
    with open_video(path) as one, open_video(f"{memory}/a.mp4") as other:
        assert one.num_frames == other.num_frames
        assert np.array_equal(one.read([0, 3]), other.read([0, 3]))
    with pytest.raises(VideoError, match=r"memory://data/b\.mp4"):
        open_video(f"{memory}/b.mp4")
    with pytest.raises(VideoNotFound, match=r"memory://data/c\.mp4.*there is no such object"):
        open_video(f"{memory}/c.mp4")
