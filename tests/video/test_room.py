"""Long videos: their pictures wait on disk, and are the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from actionrnn.video import room
from actionrnn.video.decode import ClipRequest, read_clip
from actionrnn.video.isolate import DecodeWorker
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform
from actionrnn.video.writer import write_video

RATE = Sampling(mode="fps", fps=5, num_frames=10**9)


def test_frames_are_kept_in_order_whatever_comes_first() -> None:
    found = room.Gathered({7, 3, 5})
    for number in (5, 3, 7):
        assert not found.is_whole
        found.add(number, np.full((2, 2, 3), number, np.uint8))
    assert found.is_whole
    assert 4 not in found
    assert found.in_order([7, 3, 7])[:, 0, 0, 0].tolist() == [7, 3, 7]
    assert np.shares_memory(found.in_order([3, 5, 7]), found.in_order([3, 5, 7])), "no copy"


def test_many_pictures_wait_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    pictures = [np.full((32, 32, 3), 4 * n, np.uint8) for n in range(60)]
    write_video(path, pictures, 10)
    small = Transform(32, "squash", flip=True)
    expected = read_clip(path, RATE, small).frames
    assert expected.shape == (2, 30, 3, 32, 32)
    monkeypatch.setattr(room, "SPILL_BYTES", 1000)
    assert not isinstance(room.room(1001), bytearray)
    assert torch.equal(read_clip(path, RATE, small).frames, expected)
    with DecodeWorker() as worker:
        assert torch.equal(worker.ask(ClipRequest(str(path), RATE, small)).frames, expected)


def test_without_disk_they_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SPILL_BYTES", 10)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/nowhere/at/all", "w+b"))  # noqa: SIM115
    assert isinstance(room.room(11), bytearray)
