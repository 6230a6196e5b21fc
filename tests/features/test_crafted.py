"""Shards that no extraction wrote: each costs its own clips only, and repair sets it aside."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from actionrnn.errors import ActionRNNError
from actionrnn.features import admin, store
from actionrnn.features.shard import FORMAT, Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.files import sha256_of_text

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)


def values(seed: int, num_frames: int = 3, dim: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((1, num_frames, dim)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of four clips in two shards."""
    made = FeatureStore.create(tmp_path, SPEC).folder
    for first in (0, 2):
        write_shard(made, [(Entry(f"c{k}", "s", 3), values(k)) for k in (first, first + 1)])
    return made


def index_of_two() -> dict[str, Any]:
    return {
        "num_views": 1, "video_ids": ["x", "y"], "sources": ["s", "s"], "contents": ["", ""],
        "lengths": [3, 3], "checksums": [0, 0], "errors": {}, "warnings": {},
    }  # fmt: skip


def craft(
    folder: Path, index: Any, rows: np.ndarray | None = None, stamp: int | None = None
) -> Path:
    """A shard that agrees with all its checksums."""
    text = index if isinstance(index, str) else json.dumps(index)
    about = {"format": FORMAT, "index": text, "index_sha256": sha256_of_text(text)}
    content = save({"rows": np.zeros((6, 4), np.float32) if rows is None else rows}, about)
    moment = time.time_ns() if stamp is None else stamp
    path = folder / f"{moment:020d}-{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
    path.write_bytes(content)
    return path


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda index: index.pop(name)


def having(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda index: index.update(changes)


FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    **{f"without {name}": without(name) for name in index_of_two()},
    "a number for a name": having(video_ids=["x", 5]),
    "no name": having(video_ids=["x", ""]),
    "half a character": having(video_ids=["x", "\ud800"]),
    "a name twice": having(video_ids=["x", "x"]),
    "names that are no list": having(video_ids="xy"),
    "one source": having(sources=["s"]),
    "a source that is none": having(sources=["s", None]),
    "half a character in a source": having(sources=["s", "\udfff"]),
    "lengths of text": having(lengths=["3", "3"]),
    "broken lengths": having(lengths=[1.5, 4.5]),
    "a negative length": having(lengths=[-1, 7]),
    "other lengths": having(lengths=[3, 4]),
    "a truth for a length": having(lengths=[True, 5]),
    "an endless length": having(lengths=[10**30, 3]),
    "no frames and no error": having(lengths=[0, 6]),
    "an error with frames": having(errors={"0": "broken"}),
    "an error of nobody": having(errors={"7": "broken"}),
    "an error that is no text": having(errors={"0": 7}, lengths=[0, 6]),
    "errors that are a list": having(errors=["broken"]),
    "warnings that are text": having(warnings={"0": [7]}),
    "no views": having(num_views=0),
    "too many views": having(num_views=3),
    "broken views": having(num_views=1.0),
    "checksums of text": having(checksums=["0", "0"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_column_costs_its_own_clips(folder: Path, fault: str) -> None:
    index = index_of_two()
    FAULTS[fault](index)
    require_odd(folder, craft(folder, index))


def require_odd(folder: Path, path: Path) -> None:
    """The store opens without the shard, names it, and repair sets it aside."""
    opened = FeatureStore.open(folder)
    assert list(opened.damaged) == [path]
    assert sorted(opened.video_ids) == ["c0", "c1", "c2", "c3"]
    assert opened.gather(["c0", "c3"])[0].shape == (2, 3, 4)
    assert opened.missing([("x", "s"), ("c0", "s")]) == ["x"]
    found = admin.verify(folder)
    assert path in found
    assert admin.discard(found) == [path.with_name(path.name + ".damaged")]
    assert admin.verify(folder) == {}
    write_shard(folder, [(Entry("x", "s", 3), values(9))])
    assert "x" in FeatureStore.open(folder, verify=True)


@pytest.mark.parametrize(
    "text", ["[]", "null", "{", '"x"', "[" * 100_000, '{"video_ids": NaN}'], ids=range(6)
)
def test_an_index_that_is_none(folder: Path, text: str) -> None:
    require_odd(folder, craft(folder, text))


@pytest.mark.parametrize(("dim", "dtype"), [(5, np.float32), (4, np.float16)])
def test_features_of_another_size_or_type(folder: Path, dim: int, dtype: type) -> None:
    require_odd(folder, craft(folder, index_of_two(), np.zeros((6, dim), dtype)))


def test_features_of_another_number_of_views(folder: Path) -> None:
    index = index_of_two() | {"num_views": 2}
    require_odd(folder, craft(folder, index, np.zeros((12, 4), np.float32)))


def test_a_name_of_the_far_future_does_not_hide_what_comes(folder: Path) -> None:
    require_odd(folder, craft(folder, index_of_two(), stamp=10**20 - 1))


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nothing")],
    ids=["folder", "pipe", "dead link"],
)  # fmt: skip
def test_a_shard_that_is_no_file_does_not_keep_us(folder: Path, make: Any) -> None:
    path = folder / f"{1:020d}-{'0' * 32}.safetensors"
    make(path)
    opened = FeatureStore.open(folder)
    assert list(opened.damaged) == [path]
    assert len(opened.video_ids) == 4


@pytest.mark.parametrize("keep", range(0, 400, 7))
def test_a_header_that_is_cut_or_overwritten(folder: Path, keep: int) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    content = path.read_bytes()
    for made in (content[:keep], content[:keep] + b"\xff" * 9 + content[keep + 9 :]):
        path.write_bytes(made)
        opened = FeatureStore.open(folder, verify=True)
        assert list(opened.damaged) == [path]
        assert sorted(opened.video_ids) == ["c2", "c3"]


def test_a_damaged_spec_is_written_again(folder: Path, tmp_path: Path) -> None:
    (folder / "spec.json").write_text("{}")
    with pytest.raises(ActionRNNError, match=r"spec\.json cannot be read"):
        FeatureStore.open(folder)
    FeatureStore.create(tmp_path, SPEC)
    assert len(FeatureStore.open(folder).video_ids) == 4


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_flipped_byte_does_not_reach_a_batch_of_a_store_too_large_to_verify(
    folder: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    path = sorted(folder.glob("*.safetensors"))[1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last clip's
    path.write_bytes(content)
    monkeypatch.setattr(store, "RAM_SHARE", 0.4 if in_memory else 0.0)
    opened = FeatureStore.open(folder)
    assert not opened.damaged
    message = rf"{path} is damaged: .* features verify {folder} --repair"
    with pytest.raises(ActionRNNError, match=message):
        opened.gather(["c0", "c3"])
    with pytest.raises(ActionRNNError, match=message):
        opened.read("c3")
    if not in_memory:
        assert np.array_equal(opened.gather(["c0", "c2"])[0][1].numpy(), values(2)[0])
    admin.discard(admin.verify(folder))
    healed = FeatureStore.open(folder)
    assert healed.gather(["c0", "c1"])[0].shape == (2, 3, 4)
    assert healed.missing([("c3", "s")]) == ["c3"]


def test_a_name_stands_for_the_file_that_is_asked_for(tmp_path: Path) -> None:
    """Two datasets in one folder whose clips have the same names."""
    folder = FeatureStore.create(tmp_path, SPEC).folder
    for source, seed in (("1-one", 1), ("2-other", 2)):
        write_shard(folder, [(Entry(f"c{k}", source, 3), values(10 * seed + k)) for k in range(3)])
    write_shard(folder, [(Entry("c0", "3-third", error="broken"), None)])
    for source, seed in (("1-one", 1), ("2-other", 2), ("1-one", 1)):
        opened = FeatureStore.open(folder)
        assert opened.missing([(f"c{k}", source) for k in range(3)]) == []
        assert opened.failures == {}
        for k in range(3):
            assert np.array_equal(opened.read(f"c{k}"), values(10 * seed + k))
        assert opened.missing([("c0", "3-third"), ("c1", "3-third")]) == ["c1"]
        assert opened.failures == {"c0": "broken"}
        assert opened.missing([("c0", source)]) == []
        assert np.array_equal(opened.read("c0"), values(10 * seed))
