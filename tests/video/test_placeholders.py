"""Packets that show nothing are no frames, and no frame is a copy that a decoder made up."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.video.errors import DecoderRefused
from actionrnn.video.reader import open_video
from actionrnn.video.verify import VerifyRequest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import (
    NOT_CODED,
    PLACEHOLDER,
    READERS,
    encode,
    indexed_frame,
    insert_packets,
    pack_b_frames,
    shown_index,
)

NUM_FRAMES = 40
ALL = list(range(NUM_FRAMES))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """MPEG-4 with so many B-frames in a row."""
    folder = tmp_path_factory.mktemp("plain")
    options = {"g": "12", "q": "3"}
    return {
        num: encode(folder / f"{num}.avi", "mpeg4", {**options, "bf": str(num)}, NUM_FRAMES)
        for num in (0, 1, 2)
    }


def assert_read_by_all(path: Path, may_refuse: tuple[str, ...] = ()) -> None:
    """Every reader counts the frames when it opens the file, and reads them; the same pixels."""
    expected = open_video(path, "pyav").read(ALL)
    for reader in READERS:
        try:
            with open_video(path, reader) as video:
                assert video.num_frames == NUM_FRAMES, reader
                last = video.read([NUM_FRAMES - 1])[0]
                frames = video.read(ALL)
                with pytest.raises(IndexError):
                    video.read([NUM_FRAMES])
        except DecoderRefused:
            assert reader in (*may_refuse, "torchcodec-cuda"), reader
            continue
        assert [shown_index(frame) for frame in frames] == ALL, reader
        assert np.array_equal(frames, expected), reader
        assert np.array_equal(last, expected[-1]), reader
    for quick in (False, True):
        assert VerifyRequest(str(path), "auto", quick).answer().status == "ok"


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("content", [PLACEHOLDER, NOT_CODED], ids=["7f", "not coded"])
@pytest.mark.parametrize("num_b_frames", [0, 2])
@pytest.mark.parametrize("as_xvid", [False, True])
def test_after_the_first_keyframe(
    as_xvid: bool,
    num_b_frames: int,
    content: bytes,
    count: int,
    plain: dict[int, Path],
    tmp_path: Path,
) -> None:
    path = insert_packets(plain[num_b_frames], tmp_path / "x.avi", {0}, [content] * count, as_xvid)
    unsigned = count and content == PLACEHOLDER and not as_xvid
    assert_read_by_all(path, ("torchcodec", "decord") if unsigned else ())


@pytest.mark.parametrize("content", [PLACEHOLDER, NOT_CODED], ids=["7f", "not coded"])
def test_beside_packed_pictures(content: bytes, plain: dict[int, Path], tmp_path: Path) -> None:
    packed = pack_b_frames(plain[1], tmp_path / "packed.avi")
    assert_read_by_all(insert_packets(packed, tmp_path / "x.avi", {0}, [content], True))


@pytest.mark.parametrize("num_b_frames", [0, 2])
@pytest.mark.parametrize("content", [PLACEHOLDER, NOT_CODED], ids=["7f", "not coded"])
def test_at_the_end(
    content: bytes, num_b_frames: int, plain: dict[int, Path], tmp_path: Path
) -> None:
    """FFmpeg 6 and later show the last picture again."""
    last = {NUM_FRAMES - 1}
    source = plain[num_b_frames]
    assert_read_by_all(insert_packets(source, tmp_path / "x.avi", last, [content], True))


def test_in_the_middle(plain: dict[int, Path], tmp_path: Path) -> None:
    path = insert_packets(plain[0], tmp_path / "x.avi", {11, 12, 30}, [NOT_CODED], True)
    assert_read_by_all(path)
    # What was shown before stays for as long as nothing new comes.
    steps = np.diff(open_video(path).timestamps_seconds)
    assert steps == pytest.approx([0.08 if k in (11, 12, 30) else 0.04 for k in range(39)])


def test_pictures_that_vp8_hides(tmp_path: Path) -> None:
    """A keyframe again, never to be shown, as two-pass encoders put references into a film."""
    source = encode(tmp_path / "plain.webm", "libvpx", {"g": "10", "b": "1M"}, NUM_FRAMES)
    path, num_packets = tmp_path / "x.webm", 0
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in (p for p in old.demux(old.streams.video[0]) if p.size):
            contents = [bytes(packet)]
            if packet.is_keyframe:
                contents.append(bytes([contents[0][0] & ~0x10]) + contents[0][1:])
            for content in contents:
                copy = av.Packet(content)
                copy.stream, copy.time_base = stream, packet.time_base
                copy.pts, copy.dts = packet.pts, packet.dts
                copy.is_keyframe = packet.is_keyframe
                new.mux(copy)
                num_packets += 1
    assert num_packets > NUM_FRAMES
    assert_read_by_all(path)


@pytest.mark.parametrize("kept", [3, 2])
def test_pictures_that_a_header_counts_and_the_film_leaves_out(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "x.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(indexed_frame(index), format="rgb24")
            frame.pts, frame.time_base = index * kept, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > NUM_FRAMES
    assert_read_by_all(path)
    times = open_video(path).timestamps_seconds
    assert times == pytest.approx(np.arange(NUM_FRAMES) * kept / 30)
    assert open_video(path, "pyav").warnings == ()


def test_an_avi_that_is_cut_is_short(plain: dict[int, Path], tmp_path: Path) -> None:
    content = plain[2].read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    found = VerifyRequest(str(tmp_path / "cut.avi"), "auto", False).answer()
    assert found.status == "short"
    assert f"promises {NUM_FRAMES} frames" in found.reason
    assert found.reason.endswith("of the clip is lost, which matters")
