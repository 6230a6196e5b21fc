"""Verification: every file is ok, short or unreadable, in order, whatever it does."""

import sys
from pathlib import Path

import av
import pytest

from actionrnn.cli import main
from actionrnn.video.reader import open_video
from actionrnn.video.verify import verify_paths

sys.path.insert(0, str(Path(__file__).parent))
from misbehaving import Crash, CrashOnce


@pytest.mark.parametrize("quick", [False, True])
def test_ok_short_unreadable(quick: bool, videos: dict[str, Path], tmp_path: Path) -> None:
    content = videos["faststart.mp4"].read_bytes()
    (tmp_path / "short.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.mp4").write_text("not a video")
    good = ["h264_b_frames.mp4", "mpeg4_packed_b_frames.avi", "vp9.webm", "variable_rate.mp4"]
    paths = [
        tmp_path / "short.mp4",
        *(videos[name] for name in good),
        tmp_path / "gone.mp4",
        tmp_path / "text.mp4",
    ]
    results = list(verify_paths([str(path) for path in paths], quick=quick, num_workers=2))
    assert [result.path for result in results] == [str(path) for path in paths]
    statuses = [result.status for result in results]
    assert statuses == ["short", "ok", "ok", "ok", "ok", "unreadable", "unreadable"]
    assert all(bool(result.reason) == (result.status != "ok") for result in results)
    assert results[0].num_frames < results[0].promised == 60
    assert "no such file" in results[5].reason


@pytest.mark.parametrize(("share", "matters"), [(2 / 3, "which matters"), (0.99, "hardly matters")])
def test_short_says_whether_it_matters(
    share: float, matters: str, videos: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(videos["h264_closed_gop.mp4"].read_bytes())
    with av.open(str(videos["h264_closed_gop.mp4"])) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for position, size in packets[round(share * 60) :]:
        content[position : position + size] = b"\xff" * size
    (tmp_path / "spoilt.mp4").write_bytes(content)
    (result,) = verify_paths([str(tmp_path / "spoilt.mp4")], num_workers=1)
    assert result.status == "short"
    assert result.reason.startswith(f"it promises 60 frames, {round(share * 60)} can be decoded")
    assert result.reason.endswith(matters)


@pytest.mark.real
@pytest.mark.parametrize("quick", [False, True])
def test_dropped_frames_in_a_header_are_not_missing(quick: bool, shared_data: Path) -> None:
    path = str(shared_data / "failing" / "avi_null_frames.avi")
    (result,) = verify_paths([path], quick=quick, num_workers=1)
    assert (result.status, result.num_frames) == ("ok", 30)
    assert open_video(path).timestamps_seconds[-1] == pytest.approx(2.9)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.usefixtures("real_decoders")
def test_a_dead_decoder_is_no_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    film = str(tmp_path / "a.mp4")
    monkeypatch.setattr("actionrnn.video.verify.VerifyRequest", lambda path, *_: CrashOnce(path))
    assert main(["verify", film, "--num_workers", "1"]) == 0
    monkeypatch.setattr("actionrnn.video.verify.VerifyRequest", lambda path, *_: Crash(path))
    assert main(["verify", film, "--num_workers", "1"]) == 3
    said = capsys.readouterr()
    assert "not read" in said.out
    assert "(SIGSEGV); verify it again" in said.out
    assert said.err.endswith("0 ok, 0 short, 0 unreadable, 1 not read\n")
