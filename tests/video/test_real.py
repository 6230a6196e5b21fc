"""Real and broken files of public test suites: what a full decode finds is what we find."""

import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.video.errors import DecoderRefused, VideoError, VideoShorter
from actionrnn.video.reader import FrameReader, open_video
from actionrnn.video.sampling import sample_uniform
from actionrnn.video.verify import verify_paths

sys.path.insert(0, str(Path(__file__).parent))
from conftest import loadable_readers

pytestmark = pytest.mark.real

REASONS = {  # why a file gives nothing; the table of the README says "InvalidDataError" of all
    "generated/random_bytes.mp4": "it is no readable video",
    "generated/text.mp4": "this is text",
    "generated/truncated_300k.mp4": "no index (moov)",
    "generated/truncated_moov_missing_or_cut.mp4": "no index (moov)",
    "generated/zero_bytes.mp4": "the file is empty",
    "mp4parse-rust/invalid_userdata.mp4": "promises 5544 frames",
    "mp4parse-rust/short-cenc.mp4": "not one frame can be decoded",
    "mp4parse-rust/zero_empty_stsc.mp4": "not one frame can be decoded",
    "rails/video_without_video_stream.mp4": "no video stream, only audio",
    "streamio-ffmpeg/broken.mp4": "no index (moov)",
    "streamio-ffmpeg/empty.flv": "it is no readable video",
    "torchcodec/nasa_13013.mp4.audio.mp3": "no video stream, only audio",
}
DAMAGED = {
    "decord/corrupted.mp4": "promises 50 frames, 28 can be decoded",
    "generated/truncated.avi": "promises 30 frames, 12 can be decoded",
    "mp4parse-rust/no_timescale.mp4": "promises 182 frames, 8 can be decoded",
    "streamio-ffmpeg/weird_aspect.small.mpg": "1 of 36 frames are damaged",
}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "odd-videos"


@pytest.fixture(scope="module")
def decoded(folder: Path) -> dict[str, int]:
    """Frames that a full decode gives, of every file in the README's tables."""
    found, section = {}, ""
    for line in (folder / "README.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.split()[1]
        cells = line.split("|")
        if len(cells) > 8 and cells[7].isdigit():
            found[section + cells[1]] = int(cells[7])
    assert len(found) == 83
    # The table is of the first stream; of two that are default-flagged FFmpeg takes the larger.
    found["torchcodec/nasa_13013.mp4"] = 390
    return found


def open_true(path: Path, reader: str) -> FrameReader:
    """An open video that knows how many frames there truly are."""
    video = open_video(path, reader)
    try:
        video.read([video.num_frames - 1])
    except VideoShorter as shorter:
        if not shorter.num_frames:
            raise
    return video


@pytest.mark.slow
def test_every_file_gives_its_frames_or_its_reason(folder: Path, decoded: dict[str, int]) -> None:
    for name, num_frames in decoded.items():
        if num_frames:
            assert open_true(folder / name, "auto").num_frames == num_frames, name
            continue
        with pytest.raises(VideoError) as caught:
            open_true(folder / name, "auto")
        assert REASONS[name] in caught.value.reason, name


@pytest.mark.slow
def test_every_reader_gives_the_same_pixels(folder: Path, decoded: dict[str, int]) -> None:
    """Bit for bit, wherever a reader does not refuse."""
    refused: dict[str, set[str]] = {reader: set() for reader in loadable_readers()}
    for name, num_frames in decoded.items():
        if not num_frames:
            continue
        asked = sample_uniform(min(num_frames, 25), 3)
        expected = open_video(folder / name, "pyav").read(asked)
        for reader in refused:
            try:
                frames = open_video(folder / name, reader).read(asked)
            except DecoderRefused:
                refused[reader].add(name)
                continue
            assert np.array_equal(frames, expected), (name, reader)
    assert not refused["pyav"]
    assert all(len(names) <= 25 for names in refused.values()), refused


@pytest.mark.slow
@pytest.mark.usefixtures("real_decoders")
@pytest.mark.parametrize("quick", [False, True])
def test_verify_finds_what_is_broken(quick: bool, folder: Path, decoded: dict[str, int]) -> None:
    paths = [str(folder / name) for name in decoded]
    found = dict(zip(decoded, verify_paths(paths, quick=quick), strict=True))
    unreadable = {name for name, result in found.items() if result.status == "unreadable"}
    short = {name: result.reason for name, result in found.items() if result.status == "short"}
    assert unreadable == set(REASONS)
    assert set(short) == set(DAMAGED)
    assert all(DAMAGED[name] in reason for name, reason in short.items())


@pytest.mark.parametrize(("name", "quarter_turns"), [("0", 0), ("90", 3), ("180", 2), ("270", 1)])
def test_rotated_files_come_out_upright(name: str, quarter_turns: int, folder: Path) -> None:
    path = folder / "decord" / f"video_{name}.mov"
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    for reader in loadable_readers():
        frame = open_video(path, reader).read([0])[0]
        assert np.array_equal(frame, np.rot90(coded, quarter_turns)), reader


def test_a_rotation_without_meaning_turns_nothing(folder: Path) -> None:
    video = open_true(folder / "mp4parse-rust" / "no_timescale.mp4", "auto")
    assert video.read([0]).shape == (1, 240, 320, 3)


def test_variable_rates_keep_their_times(folder: Path) -> None:
    steps = np.diff(open_video(folder / "generated" / "vfr_30_then_8fps.mp4").timestamps_seconds)
    assert steps[:40] == pytest.approx(1 / 30, abs=0.001)
    assert steps[-10:] == pytest.approx(1 / 8, abs=0.001)


def test_the_end_of_a_long_file_is_not_decoded_for_its_start(folder: Path) -> None:
    path = folder / "generated" / "long_600s.mp4"
    video = open_video(path, "pyav", start_seconds=10, end_seconds=20)
    assert video.num_frames == 100
    assert video.timestamps_seconds[[0, -1]] == pytest.approx([10.0, 19.9])
    assert video.read([0, 99]).shape[0] == 2
    with pytest.raises(VideoError, match=r"no frame lies between 700 s and None s"):
        open_video(path, start_seconds=700)


FFMPEG = shutil.which("ffmpeg")


def ffmpeg_frames(path: Path, height: int, width: int) -> np.ndarray:
    """What the program ffmpeg decodes, uint8 (N, H, W, 3), one after another, none dropped."""
    assert FFMPEG
    command = [FFMPEG, "-v", "quiet", "-i", f"file:{path}", "-an", "-fps_mode", "passthrough"]
    command += ["-sws_flags", "bilinear", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=False).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.slow
@pytest.mark.skipif(not FFMPEG, reason="the program ffmpeg is not installed")
def test_xvid_files_are_read_as_ffmpeg_reads_them(shared_data: Path) -> None:
    paths = sorted((shared_data / "ut-interaction-set1").glob("*/*.avi"))
    assert len(paths) == 60
    num_with_placeholders = 0
    for path in paths:
        with av.open(str(path)) as container:
            num_packets = sum(bool(packet.size) for packet in container.demux(video=0))
        expected = None
        for reader in loadable_readers():
            with open_video(path, reader) as video:
                frames = video.read(range(video.num_frames))
            if expected is None:
                expected = ffmpeg_frames(path, *frames.shape[1:3])
                num_with_placeholders += len(expected) < num_packets
            assert frames.shape == expected.shape, (path.name, reader)
            assert np.array_equal(frames, expected), (path.name, reader)
    assert num_with_placeholders >= 44


@pytest.mark.slow
@pytest.mark.skipif(not FFMPEG, reason="the program ffmpeg is not installed")
def test_odd_files_hold_as_many_frames_as_ffmpeg_finds(
    folder: Path, decoded: dict[str, int]
) -> None:
    for name, num_frames in decoded.items():
        if not num_frames or name in DAMAGED:  # ffmpeg goes on after damage
            continue
        for reader in loadable_readers():
            try:
                video = open_video(folder / name, reader)
            except DecoderRefused:
                assert reader != "pyav"
                continue
            assert video.num_frames == num_frames, (name, reader)
        size = video.read([0]).shape[1:3]
        if num_frames * size[0] * size[1] < 300 << 20:
            assert len(ffmpeg_frames(folder / name, *size)) == num_frames, name


def test_failing_files_are_read(shared_data: Path) -> None:
    failing = shared_data / "failing"
    for reader in loadable_readers():
        try:
            with open_video(failing / "two_streams_default_second.mp4", reader) as video:
                assert video.read([0, 99]).shape == (2, 96, 128, 3)
        except DecoderRefused:
            assert reader == "decord"
        try:
            with open_video(failing / "size_change.webm", reader) as video:
                assert video.read([0, 99]).shape == (2, 96, 128, 3)
        except DecoderRefused:
            assert reader.startswith("torchcodec")
