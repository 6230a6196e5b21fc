"""Whatever is wrong with a file: a clear error, or a warning and the frames that are there."""

import contextlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.video.complaints import complaints
from actionrnn.video.decode import read_clip
from actionrnn.video.errors import VideoError, VideoNotFound, VideoUnreadable
from actionrnn.video.reader import open_video
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

sys.path.insert(0, str(Path(__file__).parent))
from conftest import READERS, encode, sequential_indices

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
    (tmp_path / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    fails(tmp_path / "link.mp4", "a link to a file that is gone", VideoNotFound)
    fails(tmp_path, "the folder holds no pictures")


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read everything: be nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_file_or_folder_that_may_not_be_read(videos: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "secret.mp4")
        shutil.copy(videos["single_frame.mp4"], path)
        path.chmod(stat.S_IWUSR)
        with as_ordinary_user():
            fails(path, "Permission denied", VideoNotFound)
        os.chmod(folder, 0)
        with as_ordinary_user():
            fails(path, "Permission denied", VideoNotFound)
        os.chmod(folder, 0o755)


@pytest.mark.parametrize("reader", READERS)
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


def test_audio_without_video(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        for start in range(0, 8192, 1024):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    fails(path, "it has no video stream, only audio")


@pytest.mark.parametrize("reader", READERS)
def test_an_unknown_codec(reader: str, tmp_path: Path, videos: dict[str, Path]) -> None:
    content = videos["h264_closed_gop.mp4"].read_bytes().replace(b"avc1", b"zzz1")
    (tmp_path / "alien.mp4").write_bytes(content)
    with pytest.raises(VideoUnreadable, match="its video codec is not supported"):
        read_clip(tmp_path / "alien.mp4", *SMALL, reader=reader)


def test_too_many_open_files(videos: dict[str, Path], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="POSIX only")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    path = videos["h264_closed_gop.mp4"]
    opened = [os.open(path, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened[0] + 1, limits[1]))
        with contextlib.suppress(OSError):  # until there are no more
            while True:
                opened.append(os.open(path, os.O_RDONLY))
        fails(path, "Too many open files", VideoNotFound)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for handle in opened:
            os.close(handle)
    assert read_clip(path, *SMALL).indices == [[7, 22, 37, 52]]


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    fails(tmp_path / "pipe.mp4", "no regular file", VideoNotFound)


@pytest.mark.parametrize("mode", ["uniform", "fps", "dense"])
def test_a_header_that_promises_too_much(
    mode: str, tmp_path: Path, videos: dict[str, Path]
) -> None:
    content = videos["faststart.mp4"].read_bytes()
    (tmp_path / "half.mp4").write_bytes(content[: len(content) * 6 // 10])
    clip = read_clip(tmp_path / "half.mp4", Sampling(mode, 8), Transform(size=32))
    true_count = len(sequential_indices(tmp_path / "half.mp4"))
    assert 10 < true_count < 50
    assert max(clip.indices[0]) < true_count
    assert len(set(clip.indices[0])) == len(clip.indices[0]), "no frame stands for another"
    assert any("promises 60 frames" in warning for warning in clip.warnings), clip.warnings


def test_what_cannot_be_decoded_is_not_replaced_by_copies(
    tmp_path: Path, videos: dict[str, Path]
) -> None:
    """20 of 60 packets are spoilt: decord's `get_batch` gives 60 frames without a word."""
    content = bytearray(videos["h264_closed_gop.mp4"].read_bytes())
    with av.open(str(videos["h264_closed_gop.mp4"])) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for position, size in packets[40:]:
        content[position : position + size] = b"\xff" * size
    (tmp_path / "spoilt.mp4").write_bytes(content)
    clip = read_clip(tmp_path / "spoilt.mp4", Sampling(num_frames=8), Transform(size=32))
    assert max(clip.indices[0]) < 40
    assert any("60 frames, 40 can be decoded" in warning for warning in clip.warnings)


def test_pictures_that_change_size(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.h264", "libx264", num_frames=12, size=(64, 96))
    large = encode(tmp_path / "large.h264", "libx264", num_frames=12, size=(96, 128))
    (tmp_path / "both.h264").write_bytes(small.read_bytes() + large.read_bytes())
    video = open_video(tmp_path / "both.h264")
    assert video.read(range(24)).shape == (24, 64, 96, 3)
    assert any("change size, from 96x64 to 128x96" in warning for warning in video.warnings)


def test_nothing_of_a_decoders_chatter_reaches_the_terminal(
    tmp_path: Path, videos: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(videos["h264_b_frames.mp4"].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    (tmp_path / "rotten.mp4").write_bytes(content)
    with contextlib.suppress(VideoError):
        read_clip(tmp_path / "rotten.mp4", *SMALL)
    with complaints() as heard:
        os.write(2, b"[h264 @ 0x55a5] concealing 3 errors\nsomebody else's words\n")
    assert heard == ["concealing 3 errors"]
    assert capfd.readouterr().err == "somebody else's words\n"
