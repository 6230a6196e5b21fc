"""Pictures come out upright, however the camera was held, by every reader."""

import struct
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrnn.video.errors import DecoderRefused
from actionrnn.video.orientation import AS_CODED, TURNED, mp4_orientations, nearest
from actionrnn.video.reader import open_video

sys.path.insert(0, str(Path(__file__).parent))
from conftest import READERS, assert_same_pixels, encode, indexed_frame

# Display matrix (a, b, c, d) and what it does, in numpy's words.
TURNS = {
    (1, 0, 0, 1): lambda p: p,
    (0, 1, -1, 0): lambda p: np.rot90(p, 3),
    (-1, 0, 0, -1): lambda p: np.rot90(p, 2),
    (0, -1, 1, 0): lambda p: np.rot90(p, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda p: p.swapaxes(0, 1),
    (0, -1, -1, 0): lambda p: np.rot90(p.swapaxes(0, 1), 2),
}


def with_matrix(source: Path, target: Path, matrix: tuple[float, ...]) -> Path:
    """A copy of an MP4 whose track header says how the camera was held."""
    content = bytearray(source.read_bytes())
    start = content.index(b"tkhd") + 44
    a, b, c, d = (round(number * 65536) for number in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("matrix", TURNS)
@pytest.mark.parametrize("reader", READERS)
def test_turned_and_mirrored(
    reader: str, matrix: tuple[int, ...], videos: dict[str, Path], tmp_path: Path
) -> None:
    coded = open_video(videos["h264_b_frames.mp4"], "pyav").read([3, 40])
    path = with_matrix(videos["h264_b_frames.mp4"], tmp_path / "turned.mp4", matrix)
    try:
        frames = open_video(path, reader).read([3, 40])
    except DecoderRefused:
        assert reader != "pyav"
        assert matrix not in TURNED, "they know how to turn, not how to mirror"
        return
    assert_same_pixels(reader, frames, np.stack([TURNS[matrix](frame) for frame in coded]))


@pytest.mark.parametrize("reader", READERS)
def test_a_matrix_without_meaning_leaves_pictures_as_they_are(
    reader: str, videos: dict[str, Path], tmp_path: Path
) -> None:
    path = with_matrix(videos["h264_b_frames.mp4"], tmp_path / "odd.mp4", (0, 0, 0, 0))
    assert open_video(path, reader).read([0]).shape == (1, 64, 96, 3)


@pytest.mark.parametrize("reader", READERS)
def test_matroska_turns_too(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "turned.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(90)
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(indexed_frame(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    try:
        assert open_video(path, reader).read([0]).shape == (1, 96, 64, 3)
    except DecoderRefused:
        assert reader != "pyav"


integers = st.integers(-(2**31), 2**31 - 1)


@given(integers, integers, integers, integers)
def test_no_matrix_crashes(a: int, b: int, c: int, d: int) -> None:
    assert nearest(a, b, c, d) in TURNS
    packed = b"tkhd" + bytes(40) + struct.pack(">5i", a, b, 0, c, d)
    assert mp4_orientations(packed) == {nearest(a, b, c, d)}
    assert mp4_orientations(packed[:50]) <= set(TURNS), "a box that was cut"


def test_without_a_matrix_nothing_turns(tmp_path: Path) -> None:
    path = encode(tmp_path / "plain.mkv", "libx264", {"preset": "ultrafast"}, num_frames=2)
    assert open_video(path).read([0]).shape == (1, 64, 96, 3)
    assert AS_CODED == (1, 0, 0, 1)
