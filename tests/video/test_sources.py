"""Sources: the frames and times of a file as of a stream; losses, pipes and words for them."""

import http.server
import io
import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.errors import UsageError
from actionrnn.video import streams
from actionrnn.video.errors import VideoError, VideoUnreadable
from actionrnn.video.reader import open_video
from actionrnn.video.sources import FileSource, Frame, RawSource
from actionrnn.video.streams import StreamSource, open_source, shown_address

sys.path.insert(0, str(Path(__file__).parent))
from conftest import X264, encode, shown_index, variable_rate


@pytest.fixture(scope="module")
def variable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources") / "variable.mkv"
    return encode(path, "libx264", X264, num_frames=30, timestamps=variable_rate(30))


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources") / "stream.ts"
    return encode(path, "libx264", X264, num_frames=30)


def test_a_file_gives_the_frames_and_times_of_its_reader(variable: Path) -> None:
    frames = list(FileSource(str(variable)).frames())
    with open_video(variable) as video:
        assert [frame.seconds for frame in frames] == video.timestamps_seconds.tolist()
        pictures = video.read(range(video.num_frames))
    assert np.array_equal(np.stack([frame.pixels for frame in frames]), pictures)


def test_a_folder_of_pictures_is_a_source(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (8, 6), (80 * number, 0, 0)).save(tmp_path / f"{number:03}.png")
    frames = list(open_source(str(tmp_path)).frames())
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [0, 80, 160]


def test_a_container_on_a_pipe_gives_the_same_frames(variable: Path) -> None:
    source = open_source("-", pipe=io.BytesIO(variable.read_bytes()))
    assert not source.goes_on
    frames = list(source.frames())
    expected = list(FileSource(str(variable)).frames())
    assert [shown_index(frame.pixels) for frame in frames] == list(range(30))
    assert [frame.seconds for frame in frames] == pytest.approx([f.seconds for f in expected])
    assert {frame.stretch for frame in frames} == {0}


def test_raw_pictures_have_a_size_and_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    source = open_source("-", "6x4@10", pipe=io.BytesIO(pixels.tobytes() + b"rest"))
    frames = list(source.frames())
    assert np.array_equal(np.stack([frame.pixels for frame in frames]), pixels)
    assert [frame.seconds for frame in frames] == [0.0, 0.1]
    assert "4 of 72 bytes" in capsys.readouterr().err
    with pytest.raises(VideoUnreadable, match="not one picture"):
        list(RawSource(io.BytesIO(b"12"), 6, 4, 10).frames())


@pytest.mark.parametrize("raw", ["640x480", "0x4@10", "6x4@0", "x@", "6x4@ten"])
def test_raw_formats_that_are_none(raw: str) -> None:
    with pytest.raises(UsageError, match="such as 640x480@25"):
        open_source("-", raw, pipe=io.BytesIO())
    with pytest.raises(UsageError, match="give - instead"):
        open_source("film.mp4", "6x4@10")


@pytest.fixture
def server(transport: Path) -> Iterator[tuple[str, list[int]]]:
    """Serves a stream without a length: every connection some packets, then it breaks off."""
    parts: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not parts:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            content = transport.read_bytes()
            self.wfile.write(content[: parts.pop(0) * len(content) // 100])

        def log_message(self, *_: object) -> None:
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://user:secret@127.0.0.1:{serving.server_port}/live.ts", parts
    serving.shutdown()
    serving.server_close()


def test_a_lost_stream_is_found_again_as_a_new_stretch(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    address, parts = server
    parts += [100, 100]
    source = open_source(address, retries=2)
    waits: list[float] = []
    monkeypatch.setattr(source.stopped, "wait", lambda seconds: waits.append(seconds) or False)
    frames: list[Frame] = []
    with pytest.raises(VideoUnreadable, match=r"lost .*; tried 2 times again"):
        frames.extend(source.frames())
    indices = [shown_index(frame.pixels) for frame in frames]
    assert indices[0] == 0
    assert {frame.stretch for frame in frames} == {0, 1}
    first = [frame for frame in frames if frame.stretch == 0]
    assert len(first) == 30
    assert [shown_index(f.pixels) for f in frames[len(first) :]] == list(range(30))
    assert (np.diff([frame.seconds for frame in frames]) > 0).all()
    assert waits == [1.0, 1.0, 2.0], "one to come back; then two in vain"
    assert isinstance(source, StreamSource)
    assert source.num_losses == 2
    assert "secret" not in capsys.readouterr().err + source.name


def test_damaged_packets_are_left_out_and_counted(transport: Path) -> None:
    content = bytearray(transport.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content) // 3, 2 * len(content) // 3, 300):
        content[place] ^= 0xFF
    source = open_source("-", pipe=io.BytesIO(bytes(content)))
    frames = list(source.frames())
    assert 10 < len(frames) <= 30
    assert isinstance(source, StreamSource)
    assert source.num_damaged > 0
    assert (np.diff([frame.seconds for frame in frames]) > 0).all()


def test_a_clock_that_jumps_begins_a_new_stretch(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 60_000, 60_040]
    path = encode(tmp_path / "jump.mkv", "libx264", X264, num_frames=5, timestamps=stamps)
    frames = list(open_source("-", pipe=io.BytesIO(path.read_bytes())).frames())
    assert [frame.stretch for frame in frames] == [0, 0, 0, 1, 1]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.04, 0.08, 60, 60.04])


def test_what_cannot_be_opened_says_why_and_no_password() -> None:
    for place, reason in [
        ("nothing.mp4", "no such file"),
        ("rtsp://user:secret@127.0.0.1:9/x", "refused"),
    ]:
        with pytest.raises(VideoError, match=reason) as caught:
            open_source(place)
        assert "secret" not in str(caught.value)
    assert shown_address("rtsp://u:p@host/a@b") == "rtsp://host/a@b"
    with pytest.raises(VideoError, match="stdin"):
        list(open_source("-", pipe=io.BytesIO(b"no video" * 100)).frames())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are /dev/video*")
def test_a_camera_that_is_not_there_says_which_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VideoUnreadable, match="there is no /dev/video97; "):
        open_source("97")
    monkeypatch.setattr(streams.glob, "glob", lambda _: ["/dev/video2", "/dev/video0"])
    with pytest.raises(VideoUnreadable, match="here are /dev/video0, /dev/video2"):
        open_source("97")


def test_an_mp4_that_a_pipe_cannot_bring_is_refused_with_a_way(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mp4", "libx264", X264, num_frames=20)

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self._content = io.BytesIO(path.read_bytes())

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self._content.read(size)

        def seekable(self) -> bool:
            return False

    with pytest.raises(VideoUnreadable, match="matroska"):
        list(open_source("-", pipe=Pipe()).frames())


def test_a_stopped_source_ends(variable: Path) -> None:
    for source in (
        FileSource(str(variable)),
        open_source("-", pipe=io.BytesIO(variable.read_bytes())),
    ):
        frames = source.frames()
        next(frames)
        source.stopped.set()
        assert len(list(frames)) <= 1


def test_only_what_does_not_wait_is_dropped(transport: Path) -> None:
    film = StreamSource("film", lambda: av.open(str(transport), "r"), 3, goes_on=True)
    assert not film.goes_on, "a film on a web server has a length"
    assert not FileSource(str(transport)).goes_on


@pytest.mark.real
def test_real_files_give_the_frames_and_times_of_their_reader(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "odd-videos").rglob("*.*")):
        try:
            with open_video(path) as video:
                indices = range(min(12, video.num_frames))
                pictures = video.read(indices)
                times = video.timestamps_seconds[: len(indices)]
        except VideoError:
            continue
        frames = list(itertools.islice(FileSource(str(path)).frames(), len(indices)))
        assert [frame.seconds for frame in frames] == times.tolist(), path
        for frame, picture in zip(frames, pictures, strict=True):
            assert np.array_equal(frame.pixels, picture), path
        compared += 1
    assert compared > 5
