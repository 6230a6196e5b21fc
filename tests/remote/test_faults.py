"""What goes wrong on the way: tried again, or said; nothing is lost, nothing is half there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, Unreachable
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.files import publish_bytes
from actionrnn.places import at_hand, listed, place, read

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)
STORES = "s3://bucket/features"
PASSING = ["slow down", "internal", "unavailable"]


def clips(first: int, count: int = 3) -> list[tuple[Entry, np.ndarray]]:
    values = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    return [(Entry(f"c{k}", f"1-c{k}", 4), values + k) for k in range(first, first + count)]


@pytest.fixture
def store(s3: Any) -> FeatureStore:
    """Two shards of three clips each."""
    made = FeatureStore.create(place(STORES), SPEC)
    for first in (0, 3):
        write_shard(made.folder, clips(first))
    return FeatureStore.open(made.folder)


@pytest.fixture
def dataset(s3: Any, tiny_data: Path, tmp_path: Path) -> list[str]:
    """Words of an extraction of six clips whose videos and features are on S3."""
    whole = Manifest.load(tiny_data)
    saved = Manifest(tmp_path / "six", whole.table.iloc[:6], whole.class_names).save()
    for name in (saved.name, "classes.txt"):
        publish_bytes(place(f"s3://bucket/data/{name}"), saved.with_name(name).read_bytes())
    for path in whole.table["path"][:6]:
        publish_bytes(place(f"s3://bucket/data/{path}"), (tiny_data / path).read_bytes())
    return [
        "extract", "--data.root=s3://bucket/data", "--backbone", "squeezenet1_1",
        "--weights=random", "--features.sampling.num_frames=2", "--features.transform.size=32",
        "--features.transform.resize=squash", "--workers", "1", "--batch-size=2",
    ]  # fmt: skip


def extracted() -> FeatureStore:
    (folder,) = place("s3://bucket/data/features").iterdir()
    return FeatureStore.open(folder, verify=True)


# ---- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [*PASSING, "cut"])
def test_a_broken_read_is_tried_again(s3: Any, fault: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    publish_bytes(place("s3://bucket/a.mp4"), content)
    s3.times("GET /bucket/a.mp4", fault, 3)
    with at_hand("s3://bucket/a.mp4") as copy:
        assert copy.read_bytes() == content
    s3.times("GET /bucket/a.mp4", fault, 3)
    assert read(place("s3://bucket/a.mp4"), 10, 500) == content[10:500]
    s3.times("list-type", fault, 2)
    assert list(listed(place("s3://bucket"))) == ["a.mp4"]


@pytest.mark.parametrize("fault", [*PASSING, "cut"])
def test_a_read_that_stays_broken_says_where_and_what_next(
    s3: Any, fault: str, own_cache: Path
) -> None:
    publish_bytes(place("s3://bucket/a.mp4"), bytes(9_000))
    s3.fault = lambda request: fault if "GET /bucket/a.mp4" in request else None
    with (
        pytest.raises(Unreachable, match=r"s3://bucket/a\.mp4: reading it failed 6 times \(.+run"),
        at_hand("s3://bucket/a.mp4"),
    ):
        pass
    assert not [*(own_cache / "kept").iterdir(), *(own_cache / "used").iterdir()]


@pytest.mark.parametrize("fault", ["expired", "denied"])
def test_a_refusal_is_said_at_once(s3: Any, fault: str) -> None:
    publish_bytes(place("s3://bucket/a.mp4"), bytes(9_000))
    s3.fault = lambda request: fault if "GET /bucket/a.mp4" in request else None
    s3.requests.clear()
    with (
        pytest.raises(
            Unreachable, match=r"a\.mp4: reading it was refused \(.+\)\. Renew the credentials"
        ) as refused,
        at_hand("s3://bucket/a.mp4"),
    ):
        pass
    assert len([line for line in s3.requests if line.startswith("GET")]) == 1
    assert "secret" not in str(refused.value)
    s3.fault = lambda request: fault if "list-type" in request else None
    with pytest.raises(Unreachable, match=r"listing it was refused"):
        listed(place("s3://bucket"))


def test_a_garbled_shard_is_fetched_again(s3: Any, store: FeatureStore, own_cache: Path) -> None:
    path = next(path.name for path in store.folder.iterdir() if path.suffix == ".safetensors")
    for file in (own_cache / "kept").iterdir():
        file.unlink()
    s3.times(f"GET {store.folder / path}".replace("s3://", "/"), "garbled")  # its header
    opened = FeatureStore.open(store.folder)
    assert not opened.damaged
    s3.times(path, "garbled")  # all of it
    for k in range(6):
        assert np.array_equal(opened.read(f"c{k}"), clips(k)[0][1])


def test_a_shard_that_is_damaged_there_costs_its_own_clips(s3: Any, store: FeatureStore) -> None:
    name = sorted(listed(store.folder))[0]
    content = (store.folder / name).read_bytes()
    for damaged in (content[:-7], content[:100], b"", content[:-1] + b"x"):
        publish_bytes(store.folder / name, damaged)
        opened = FeatureStore.open(store.folder, verify=True)
        assert list(opened.damaged) == [store.folder / name]
        assert opened.video_ids == ["c3", "c4", "c5"]


def test_a_storage_that_does_not_answer_damages_no_shard(
    s3: Any, store: FeatureStore, own_cache: Path
) -> None:
    for file in (own_cache / "kept").iterdir():
        file.unlink()
    s3.fault = lambda request: "unavailable" if "safetensors" in request else None
    with pytest.raises(Unreachable, match="When network and storage answer"):
        FeatureStore.open(store.folder)


# ---- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", PASSING)
def test_a_broken_write_is_tried_again(s3: Any, store: FeatureStore, fault: str) -> None:
    s3.times("PUT", fault, 3)
    path = write_shard(store.folder, clips(6))
    opened = FeatureStore.open(store.folder, verify=True)
    assert len(opened.video_ids) == 9
    assert path in list(store.folder.iterdir())


@pytest.mark.parametrize("fault", ["slow down", "expired", "denied"])
def test_a_write_that_stays_broken_leaves_nothing(s3: Any, store: FeatureStore, fault: str) -> None:
    before = listed(store.folder)
    s3.fault = lambda request: fault if "PUT" in request else None
    told = "failed 6 times" if fault == "slow down" else "was refused"
    with pytest.raises(Unreachable, match=f"s3://bucket/features/.*: writing it {told}"):
        write_shard(store.folder, clips(6))
    s3.fault = lambda _: None
    assert listed(store.folder) == before


def test_a_write_whose_answer_was_lost_is_harmless(s3: Any, store: FeatureStore) -> None:
    """The put happened, and is tried again: the same object under the same name."""
    s3.times("PUT", "cut", 2)
    write_shard(store.folder, clips(6))
    assert len(listed(store.folder)) == len(["spec", "two", "shards", "and this"])
    assert len(FeatureStore.open(store.folder, verify=True).video_ids) == 9


def test_two_that_extract_the_same_clips_do_no_harm(s3: Any, store: FeatureStore) -> None:
    write_shard(store.folder, clips(0))
    again = FeatureStore.open(store.folder, verify=True)
    assert sorted(again.video_ids) == [f"c{k}" for k in range(6)]
    assert len(again.superseded()) == 1


def test_a_bucket_that_is_not_there_says_so(s3: Any) -> None:
    with pytest.raises(ActionRNNError, match=r"s3://none/.*cannot be written"):
        FeatureStore.create(place("s3://none/features"), SPEC)


# ---- an extraction ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [*PASSING, "cut"])
def test_an_extraction_outlives_passing_faults(
    s3: Any, dataset: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 0

    def plan(request: str) -> str | None:
        nonlocal count
        count += 1
        return fault if count % 3 == 0 and not request.startswith("HEAD") else None

    s3.fault = plan
    assert main(dataset) == 0
    s3.fault = lambda _: None
    assert "6 clips, 1 views" in capsys.readouterr().out
    assert not extracted().failures


@pytest.mark.parametrize("fault", ["slow down", "expired", "cut"])
def test_an_extraction_that_is_cut_off_keeps_what_is_done_and_goes_on(
    s3: Any,
    dataset: list[str],
    fault: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos: set[str] = set()

    def plan(request: str) -> str | None:
        if "GET" in request and ".mp4" in request:
            videos.add(request)
            return fault if len(videos) > 4 else None
        return None

    s3.fault = plan
    assert main(dataset) == 1
    told = capsys.readouterr().err
    assert ".mp4: reading it " in told
    assert "run the same command again: what is done is kept" in told
    kept = extracted()
    assert not kept.failures
    num_kept = len(kept.video_ids)
    assert num_kept == 4, "what was decoded is computed before it ends"
    s3.fault = lambda _: None
    assert main(dataset) == 0
    assert f"features: {6 - num_kept} of 6 clips to extract" in capsys.readouterr().err
    assert len(extracted().video_ids) == 6


def test_an_extraction_that_cannot_publish_says_so(
    s3: Any, dataset: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    s3.fault = lambda request: "expired" if "PUT" in request and "safetensors" in request else None
    assert main(dataset) == 1
    told = capsys.readouterr().err
    assert ".safetensors: writing it was refused (The provided token has expired.)" in told
    assert "Renew the credentials" in told
    s3.fault = lambda _: None
    assert not extracted().video_ids
    assert main(dataset) == 0
    assert len(extracted().video_ids) == 6


def test_features_that_may_only_be_read_are_enough(
    s3: Any, dataset: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(dataset) == 0
    s3.fault = lambda request: "denied" if "PUT" in request else None
    assert main(dataset) == 0
