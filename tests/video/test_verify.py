"""Verification: every file is ok, short or unreadable, in order, whatever it does."""

from pathlib import Path

import pytest

from actionrnn.video.verify import verify_paths


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
