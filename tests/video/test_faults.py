"""Whatever is wrong with a file: a clear error, or a warning and the frames that are there."""

import os
import pickle
import shutil
import stat
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.video.clip import read_clip
from actionrnn.video.errors import VideoError, VideoNotFound, VideoShorter, VideoUnreadable
from actionrnn.video.reader import open_video, reader_names
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

SMALL = (Sampling(num_frames=4), Transform(size=32))


def fails(path: Path, reason: str, kind: type[VideoError] = VideoUnreadable) -> None:
    with pytest.raises(kind) as caught:
        read_clip(path, *SMALL)
    assert reason in caught.value.reason
    assert str(path) in caught.value.path
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (type(caught.value), str(caught.value))


def test_files_that_are_no_videos(tmp_path: Path, videos: dict[str, Path]) -> None:
    contents = {
        "empty.mp4": (b"", "the file is empty"),
        "text.mp4": (b"hello world", "this is text"),
        "page.mp4": (b"\n<!doctype html><p>404", "web page"),
        "noise.mp4": (os.urandom(5000), "no readable video"),
        "cut.mp4": (videos["h264_closed_gop.mp4"].read_bytes()[:4000], "no index (moov)"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        fails(tmp_path / name, reason)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    fails(tmp_path / "gone.mp4", "no such file", VideoNotFound)
    fails(tmp_path, "the folder holds no pictures")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, videos: dict[str, Path]) -> None:
    path = tmp_path / "secret.mp4"
    shutil.copy(videos["single_frame.mp4"], path)
    path.chmod(stat.S_IWUSR)
    fails(path, "Permission denied", VideoNotFound)


@pytest.mark.parametrize("reader", ["auto", *reader_names()])
@pytest.mark.parametrize(
    "name", ["-dash.mp4", "sp ace.mp4", "qu'o\"te.mp4", "line\nbreak.mp4", "ünï©ode.mp4", "a:b.mp4"]
)
def test_difficult_names(
    name: str, reader: str, tmp_path: Path, videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(videos["h264_closed_gop.mp4"], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert open_video(name, reader).read([0, 59]).shape == (2, 64, 96, 3)


def test_a_truncated_avi_gives_the_frames_that_are_there(
    tmp_path: Path, videos: dict[str, Path]
) -> None:
    content = videos["mpeg4_plain.avi"].read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: 2 * len(content) // 3])
    clip = read_clip(tmp_path / "cut.avi", *SMALL)
    assert max(clip.indices[0]) < 50
    assert len(set(clip.indices[0])) == 4


def test_bit_rot_is_noted_or_refused_never_papered_over(
    tmp_path: Path, videos: dict[str, Path]
) -> None:
    content = bytearray(videos["h264_b_frames.mp4"].read_bytes())
    third = len(content) // 3
    content[third : third + 3000] = os.urandom(3000)
    (tmp_path / "rotten.mp4").write_bytes(content)
    try:
        clip = read_clip(tmp_path / "rotten.mp4", Sampling(num_frames=60), Transform(size=32))
    except VideoError:
        return
    assert clip.warnings, "damage must be said"


def odd_videos(folder: Path) -> dict[str, int]:
    """Decodable frames of every file of the table in the real data's README."""
    found, section = {}, ""
    for line in (folder / "README.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.split()[1]
        cells = line.split("|")
        if len(cells) > 8 and cells[7].isdigit():
            found[section + cells[1]] = int(cells[7])
    return found


@pytest.mark.real
def test_odd_files_give_the_frames_of_a_full_decode(shared_data: Path) -> None:
    expected = odd_videos(shared_data / "odd-videos")
    assert len(expected) >= 80
    wrong = {}
    for name, num_frames in expected.items():
        try:
            video = open_video(shared_data / "odd-videos" / name)
            try:
                video.read([video.num_frames - 1])
                found = video.num_frames
            except VideoShorter as shorter:
                found = shorter.num_frames
        except VideoError:
            found = 0
        if found != num_frames:
            wrong[name] = (found, num_frames)
    assert not wrong


@pytest.mark.real
@pytest.mark.parametrize(("name", "quarter_turns"), [("0", 0), ("90", 3), ("180", 2), ("270", 1)])
def test_rotated_files_come_out_upright(name: str, quarter_turns: int, shared_data: Path) -> None:
    path = shared_data / "odd-videos" / "decord" / f"video_{name}.mov"
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    for reader in reader_names():
        frame = open_video(path, reader).read([0])[0]
        assert np.array_equal(frame, np.rot90(coded, quarter_turns)), reader
