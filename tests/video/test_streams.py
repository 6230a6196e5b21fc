"""Which of several streams is the film, and what its pictures are scaled to: one answer."""

import sys
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from actionrnn.video.errors import DecoderRefused
from actionrnn.video.reader import open_video

sys.path.insert(0, str(Path(__file__).parent))
from conftest import READERS, X264, encode, indexed_frame, shown_index

Stream = tuple[str, int, int, Disposition]  # codec, scale, number of pictures, disposition
FILM, SMALL, LARGE = 12, 1, 2
NONE, DEFAULT, COVER = Disposition(0), Disposition.default, Disposition.attached_pic


def write_streams(path: Path, streams: Sequence[Stream]) -> Path:
    """Streams of 96x64 times their scale, 25 pictures a second."""
    with av.open(str(path), "w", options={"default_mode": "passthrough"}) as container:
        made = []
        for codec, scale, num_frames, disposition in streams:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 96 * scale, 64 * scale
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.options = X264 if codec == "libx264" else {}
            stream.disposition = disposition
            made.append((stream, num_frames))
        for index in range(FILM):
            for stream, num_frames in made:
                if index < num_frames:
                    picture = indexed_frame(index, stream.height, stream.width)
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    frame.pts = index
                    container.mux(stream.encode(frame))
        for stream, _ in made:
            container.mux(stream.encode(None))
    return path


H264, JPEG = "libx264", "mjpeg"
CHOICES: dict[str, tuple[list[Stream], int, int]] = {  # streams, the right one, films
    "default second": ([(H264, 2, FILM, NONE), (H264, 1, FILM, DEFAULT)], 1, 2),
    "default first": ([(H264, 1, FILM, DEFAULT), (H264, 2, FILM, NONE)], 0, 2),
    "larger first": ([(H264, 2, FILM, NONE), (H264, 1, FILM, NONE)], 0, 2),
    "larger second": ([(H264, 1, FILM, NONE), (H264, 2, FILM, NONE)], 1, 2),
    "both default": ([(H264, 1, FILM, DEFAULT), (H264, 2, FILM, DEFAULT)], 1, 2),
    "equal": ([(H264, 1, FILM, NONE), (H264, 1, FILM, NONE)], 0, 2),
    "still first": ([(JPEG, 2, 1, DEFAULT), (H264, 1, FILM, NONE)], 1, 1),
    "still second": ([(H264, 1, FILM, NONE), (JPEG, 2, 1, DEFAULT)], 0, 1),
    "a still and two films": (
        [(JPEG, 2, 1, DEFAULT), (H264, 1, FILM, NONE), (H264, 2, FILM, NONE)],
        2,
        2,
    ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_all_readers_choose_the_same_film(case: str, tmp_path: Path) -> None:
    streams, right, num_films = CHOICES[case]
    path = write_streams(tmp_path / "x.mkv", streams)
    with av.open(str(path)) as container:
        assert [s.disposition & DEFAULT for s in container.streams.video] == [
            disposition for *_, disposition in streams
        ]
    scale = streams[right][1]
    for reader in READERS:
        try:
            with open_video(path, reader) as video:
                frames = video.read(range(video.num_frames))
        except DecoderRefused:
            assert reader == "decord"
            continue
        assert frames.shape == (FILM, 64 * scale, 96 * scale, 3), reader
        assert [shown_index(frame) for frame in frames] == list(range(FILM)), reader
        said = [warning for warning in video.warnings if "is read, of" in warning]
        note = f"it has {num_films} video streams; number {right} is read, of {96 * scale}x"
        assert len(said) == (num_films > 1)
        assert all(note in warning for warning in said)


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    streams = [(JPEG, 2, 1, COVER), (H264, 1, FILM, NONE)]
    path = write_streams(tmp_path / "x.mp4", streams)
    with av.open(str(path)) as container:
        assert sum(bool(s.disposition & COVER) for s in container.streams.video) == 1
    video = open_video(path)
    assert video.read(range(FILM)).shape == (FILM, 64, 96, 3)
    assert not any("is read, of" in warning for warning in video.warnings)


@pytest.mark.parametrize(("first", "second"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_pictures_that_change_size_are_scaled_to_the_first(
    first: int, second: int, tmp_path: Path
) -> None:
    parts = [
        encode(tmp_path / f"{n}.webm", "libvpx", {"b": "1M"}, 10, (64 * n, 96 * n))
        for n in (first, second)
    ]
    path, shift = tmp_path / "x.webm", 0
    with av.open(str(path), "w") as new:
        stream = None
        for part in parts:
            with av.open(str(part)) as old:
                stream = stream or new.add_stream_from_template(old.streams.video[0])
                for packet in old.demux(old.streams.video[0]):
                    if packet.size:
                        packet.stream, packet.pts, packet.dts = stream, shift, shift
                        new.mux(packet)
                        shift += 40
    expected = open_video(path, "pyav").read(range(20))
    assert expected.shape == (20, 64 * first, 96 * first, 3)
    shown = [shown_index(frame) for frame in expected]
    assert shown == 2 * list(range(10))
    # Those of the second part alone are scaled just the same, and it is said once.
    video = open_video(path, "pyav")
    for _ in range(2):
        assert np.array_equal(video.read([15]), expected[[15]])
    assert sum("change size" in warning for warning in video.warnings) == 1
    for reader in set(READERS) & {"pyav", "decord"}:
        assert np.array_equal(open_video(path, reader).read(range(20)), expected), reader
    if "torchcodec" in READERS:
        for indices in (range(20), [15]):
            with pytest.raises(DecoderRefused):
                open_video(path, "torchcodec").read(indices)


@pytest.mark.parametrize("reader", READERS)
def test_a_with_statement_closes(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "x.mp4", "libx264", X264, 4)
    closed = []
    with open_video(path, reader) as video:
        free = video.close
        monkeypatch.setattr(video, "close", lambda: closed.append(free()))
        assert shown_index(video.read([3])[0]) == 3
        assert not closed
    assert len(closed) == 1
