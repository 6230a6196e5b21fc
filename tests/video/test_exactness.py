"""Frame `i` is the `i`-th frame of a sequential decode: every reader, codec, container, request."""

import contextlib
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from actionrnn.video.decode import read_clip
from actionrnn.video.errors import DecoderRefused, VideoShorter
from actionrnn.video.reader import FrameReader, open_video, reader_names
from actionrnn.video.sampling import Sampling, sample_uniform
from actionrnn.video.transform import Transform

sys.path.insert(0, str(Path(__file__).parent))
from conftest import (
    B_FRAMES,
    FILES,
    READERS,
    assert_same_pixels,
    encode,
    sequential_indices,
    shown_index,
)


def open_true(path: Path, reader: str = "auto") -> FrameReader:
    """An open video that knows how many frames there truly are."""
    video = open_video(path, reader)
    with contextlib.suppress(VideoShorter):
        video.read([video.num_frames - 1])
    return video


def requests(num_frames: int) -> dict[str, list[int]]:
    rng = np.random.default_rng(num_frames)
    last = num_frames - 1
    dense = Sampling(mode="dense", num_frames=8, frame_interval=2)
    rate = Sampling(mode="fps", num_frames=16, fps=8)
    times = np.arange(num_frames) / 25
    return {
        "uniform": sample_uniform(num_frames, 16),
        "dense": dense.indices(num_frames, times)[0],
        "fixed rate": rate.indices(num_frames, times)[0],
        "repeated": [last // 2] * 3,
        "unsorted": rng.integers(0, num_frames, 9).tolist(),
        "backwards": list(range(last, -1, -max(1, num_frames // 7))),
        "first": [0],
        "last": [last],
        "all": list(range(num_frames)),
    }


@pytest.mark.parametrize("name", [name for name in FILES if "b_frames" in name or "open" in name])
def test_files_are_what_their_names_say(name: str, videos: dict[str, Path]) -> None:
    with av.open(str(videos[name])) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
    assert kinds.count(PictureType.B) >= len(kinds) // 3
    assert kinds.count(PictureType.I) >= 4


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reader", READERS)
def test_frames_are_exactly_those_asked_for(
    reader: str, name: str, videos: dict[str, Path]
) -> None:
    truth = sequential_indices(videos[name])
    try:
        video = open_true(videos[name], reader)
    except DecoderRefused:
        assert reader != "pyav", "only one that is asked for by name may refuse"
        return
    assert video.num_frames == len(truth)
    for kind, indices in requests(len(truth)).items():
        shown = [shown_index(frame) for frame in video.read(indices)]
        assert shown == [truth[index] for index in indices], kind
    video.close()


@pytest.mark.parametrize("name", FILES)
def test_all_readers_give_the_same_pixels(name: str, videos: dict[str, Path]) -> None:
    reference = open_true(videos[name], "pyav")
    indices = list(range(0, reference.num_frames, 7))
    expected = reference.read(indices)
    for reader in READERS:
        try:
            frames = open_true(videos[name], reader).read(indices)
        except DecoderRefused:
            continue
        assert_same_pixels(reader, frames, expected)


@pytest.mark.skipif("decord" not in reader_names(), reason="decord has no wheel here")
def test_plain_decord_fails_where_ours_holds(videos: dict[str, Path]) -> None:
    import decord

    wrong = {}
    for name in ("mpeg4_b_frames.avi", "h264.avi", "h264_open_gop.mp4", "hevc_b_frames.mp4"):
        truth = sequential_indices(videos[name])
        asked = sample_uniform(len(truth), 16)
        frames = decord.VideoReader(str(videos[name])).get_batch(asked).asnumpy()
        shown = [shown_index(frame) for frame in frames]
        wrong[name] = sum(a != truth[b] for a, b in zip(shown, asked, strict=True))
    assert all(wrong.values()), wrong


def test_decord_reads_all_but_what_it_would_get_wrong(videos: dict[str, Path]) -> None:
    if "decord" not in reader_names():
        pytest.skip("decord has no wheel here")
    refused = set()
    for name in FILES:
        try:
            open_video(videos[name], "decord").close()
        except DecoderRefused:
            refused.add(name)
    cut, odd = {"cut_mid_gop.mp4", "cut_mid_gop.avi"}, {"odd_size.mp4", "odd_size.webm"}
    assert refused == {"av1.mp4", *cut, *odd}


def test_torchcodec_reads_all_but_what_it_would_get_wrong(videos: dict[str, Path]) -> None:
    if "torchcodec" not in READERS:
        pytest.skip("torchcodec or FFmpeg's shared libraries are not installed")
    refused = set()
    for name, path in videos.items():
        try:
            assert open_video(path, "torchcodec").read([0]).dtype == np.uint8
        except DecoderRefused:
            refused.add(name)
    special = {"odd_size.mp4", "odd_size.webm", "cut_mid_gop.mp4", "cut_mid_gop.avi"}
    assert refused <= special | {"av1.mp4"}, refused


def test_torchcodec_on_a_gpu_compares_each_frames_time(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "torchcodec" not in READERS:
        pytest.skip("torchcodec or FFmpeg's shared libraries are not installed")
    monkeypatch.setattr("actionrnn.video.torchcodec._own_gpu", lambda: "cpu")
    read = set()
    for name, path in videos.items():
        truth = sequential_indices(path)
        with contextlib.suppress(DecoderRefused):
            shown = map(shown_index, open_video(path, "torchcodec-cuda").read(range(len(truth))))
            assert list(shown) == truth, name
            read.add(name)
    timed = re.compile("(h264|hevc|variable|with|fast|single).*(mp4|mkv|mov)")
    assert read == {"h264.avi", *filter(timed.match, FILES)}
    late = open_video(videos["h264_open_gop.mp4"], "torchcodec-cuda")
    late._index.timestamps_seconds[30:] += 0.04
    with pytest.raises(DecoderRefused, match=r"frame 30 is shown at 1\.\d+ s, which is not its"):
        late.read([40])


def test_torchcodec_without_ffmpeg_is_not_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutFFmpeg(ModuleType):
        ffmpeg_major_version = VideoDecoder = get_next_frame = None

    for name in ("torchcodec", "torchcodec.decoders", "torchcodec._core"):
        monkeypatch.setitem(sys.modules, name, WithoutFFmpeg(name))
    monkeypatch.delitem(sys.modules, "actionrnn.video.torchcodec", raising=False)
    with pytest.raises(
        ValueError, match=r"cannot be loaded: it needs .* FFmpeg's shared libraries"
    ):
        importlib.import_module("actionrnn.video.torchcodec")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["variable_rate.mp4", "variable_rate_b_frames.mp4"])
def test_time_stamps_are_the_files_own(name: str, reader: str, videos: dict[str, Path]) -> None:
    times = open_video(videos[name], reader).timestamps_seconds
    steps = np.diff(times)
    assert steps[:29] == pytest.approx(0.033, abs=1e-3)
    assert steps[30:] == pytest.approx(0.125, abs=1e-3)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["h264_b_frames.mp4", "mpeg4_b_frames.avi"])
def test_a_part_of_a_file(reader: str, name: str, videos: dict[str, Path]) -> None:
    video = open_video(videos[name], reader, start_seconds=0.4, end_seconds=1.2)
    assert video.num_frames == 20
    shown = [shown_index(frame) for frame in video.read([0, 19, 5])]
    assert shown == [10, 29, 15]


@pytest.mark.parametrize("reader", READERS)
def test_indices_outside_the_video_are_refused(reader: str, videos: dict[str, Path]) -> None:
    video = open_video(videos["h264_closed_gop.mp4"], reader)
    for bad in ([60], [-1], []):
        with pytest.raises(IndexError, match=r"outside 0\.\.59"):
            video.read(bad)


@pytest.mark.parametrize("name", ["cut_mid_gop.mp4", "cut_mid_gop.avi"])
def test_a_cut_file_is_timed_by_the_frames_that_are_there(
    name: str, videos: dict[str, Path]
) -> None:
    truth = sequential_indices(videos[name])
    video = open_true(videos[name])
    assert video.num_frames == len(truth)
    assert np.diff(video.timestamps_seconds) == pytest.approx(0.04)
    # Also if the request alone would not tell that frames are missing.
    dense = Sampling(mode="dense", num_frames=4)
    clip = read_clip(videos[name], dense, Transform(size=32))
    start = (len(truth) - 6) // 2
    assert clip.indices == [list(range(start, start + 8, 2))]


@pytest.mark.parametrize("name", FILES)
def test_times_are_those_of_the_decoded_frames(name: str, videos: dict[str, Path]) -> None:
    with av.open(str(videos[name])) as container:
        frames = list(container.decode(video=0))
    stamps = [frame.pts for frame in frames]
    if None in stamps or name.endswith("b_frames.avi") or name == "cut_mid_gop.avi":
        expected = np.arange(len(frames)) / 25
    else:
        expected = (np.array(stamps) - stamps[0]) * float(frames[0].time_base)
    assert open_true(videos[name], "auto").timestamps_seconds == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reader", READERS)
def test_what_follows_a_part_is_not_decoded(reader: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "spoilt.mp4", "libx264", B_FRAMES, num_frames=240)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in packets[160:]:
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    video = open_video(path, reader, end_seconds=0.8)
    try:
        frames = video.read(range(20))
    except DecoderRefused:
        assert reader == "decord", "its thread may run ahead into the damage"
        return
    assert [shown_index(frame) for frame in frames] == list(range(20))


def test_narrow_pictures_are_read_where_decord_invents_channels(tmp_path: Path) -> None:
    path = encode(tmp_path / "narrow.mp4", "libx264", size=(32, 48), num_frames=4)
    with pytest.raises(
        DecoderRefused, match="4 colour channels; PyAV may read it: leave out --features"
    ):
        open_video(path, "decord").read([0])
    frames = open_true(path).read(range(4))
    assert frames.shape == (4, 32, 48, 3)


@pytest.mark.parametrize("reader", READERS)
def test_frames_are_shaped_as_they_come(reader: str, videos: dict[str, Path]) -> None:
    with open_true(next(iter(videos.values())), reader) as video:
        indices = [3, 0, 3]
        small = video.read(indices, lambda frame: frame[:2, ::2])
        assert np.array_equal(small, video.read(indices)[:, :2, ::2])
