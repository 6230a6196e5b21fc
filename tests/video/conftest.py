"""Generated videos whose pixels tell the frame's index, in the codecs of the field."""

from collections.abc import Callable, Container, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.video.reader import reader_names

BITS = 8


def loadable_readers() -> list[str]:
    """The readers that work here: torchcodec needs FFmpeg's libraries, and one of its two a GPU."""
    names = reader_names()
    if "torchcodec" in names:
        try:
            from actionrnn.video.torchcodec import _own_gpu
        except ValueError:
            return [name for name in names if not name.startswith("torchcodec")]
        try:
            _own_gpu()
        except ValueError:
            names.remove("torchcodec-cuda")
    return names


READERS = loadable_readers()


def assert_same_pixels(reader: str, frames: np.ndarray, expected: np.ndarray) -> None:
    """To the last bit, but of a GPU, which converts colours with other last bits."""
    if reader == "torchcodec-cuda":
        assert np.abs(frames.astype(float) - expected).mean() < 2
    else:
        assert np.array_equal(frames, expected), reader


def indexed_frame(index: int, height: int = 64, width: int = 96) -> np.ndarray:
    """A frame that shows its index as eight vertical bars, bright for 1, on moving noise."""
    rng = np.random.default_rng(index)
    frame = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        if index >> bit & 1:
            frame[:, left:right] += 200
    return frame


def shown_index(frame: np.ndarray) -> int:
    """The index that a decoded frame shows, whatever the codec did to it."""
    width = frame.shape[1]
    bars = [frame[:, bit * width // BITS : (bit + 1) * width // BITS].mean() for bit in range(BITS)]
    return sum((bright > 120) << bit for bit, bright in enumerate(bars))


def encode(
    path: Path,
    codec: str,
    options: dict[str, str] | None = None,
    num_frames: int = 60,
    size: tuple[int, int] = (64, 96),
    pix_fmt: str = "yuv420p",
    timestamps: Sequence[int] | None = None,
    audio: bool = False,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write an indexed video; `timestamps` in milliseconds make its rate variable."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.options = options or {}
        if timestamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000) if audio else None
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(indexed_frame(index, *size), format="rgb24")
            if timestamps is not None:
                frame.pts, frame.time_base = timestamps[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, 16000 * num_frames // 25, 1024):
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
                )
                silence.sample_rate, silence.pts = 16000, start
                container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def cut_by_copy(source: Path, target: Path, first_packet: int) -> Path:
    """Copy packets from the middle of a GOP on, as `ffmpeg -ss -c copy` does."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if number >= first_packet and packet.size:
                packet.stream = stream
                new.mux(packet)
    return target


def variable_rate(num_frames: int) -> list[int]:
    """Milliseconds: 30 frames per second for the first half, then 8."""
    steps = [33 if index < num_frames // 2 else 125 for index in range(num_frames)]
    return np.cumsum([0, *steps[:-1]]).tolist()


def vop_type(packet: bytes) -> int:
    """Of an MPEG-4 picture: 0 is I, 1 is P, 2 is B."""
    return packet[packet.index(b"\0\0\1\xb6") + 4] >> 6


PLACEHOLDER = b"\x7f"
NOT_CODED = b"\0\0\1\xb6" + bytes([0b01010000, 0b01001111])  # an MPEG-4 picture "as before"


def pack_b_frames(source: Path, target: Path) -> Path:
    """Put each B-frame into the packet of the P-frame before it, as DivX and XviD did for AVI.

    An empty P-frame follows in the next packet, so that the count of packets stays.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        pictures = [bytes(packet) for packet in old.demux(old.streams.video[0]) if packet.size]
        for number, picture in enumerate(pictures):
            following = pictures[number + 1] if number + 1 < len(pictures) else picture
            content = NOT_CODED if vop_type(picture) == 2 else picture
            if vop_type(picture) != 2 and vop_type(following) == 2:
                content = picture + following
            if vop_type(picture) == 0:  # its version tells a decoder that frames are packed
                start = content.index(b"\0\0\1\xb6")
                content = content[:start] + b"\0\0\1\xb2DivX503b1393p\0" + content[start:]
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = vop_type(picture) == 0
            new.mux(packet)
    return target


def insert_packets(
    source: Path, target: Path, after: Container[int], contents: Sequence[bytes], as_xvid: bool
) -> Path:
    """Put packets behind those numbered in `after`; tagged XVID, and if `as_xvid` named so too.

    FFmpeg takes the placeholder 7f for one only where XviD or DivX signed the stream.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.codec_context.codec_tag = "XVID"
        place = 0
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            content = bytes(packet)
            if as_xvid:
                content = content.replace(b"\0\0\1\xb2Lavc", b"\0\0\1\xb2XviD")
            inserted = contents if number in after else ()
            for part in (content, *inserted) if packet.size else ():
                copy = av.Packet(part)
                copy.stream, copy.time_base = stream, Fraction(1, 25)
                copy.pts = copy.dts = place
                copy.is_keyframe = part is content and packet.is_keyframe
                new.mux(copy)
                place += 1
    return target


X264 = {"preset": "ultrafast"}
# Noise has no use for B-frames: without b-adapt=0 the encoders leave them out.
B_FRAMES = {"preset": "fast", "x264-params": "b-adapt=0:scenecut=0:bframes=3:keyint=12"}
OPEN_GOP = {"preset": "fast", "x264-params": "b-adapt=0:scenecut=0:bframes=3:keyint=12:open-gop=1"}
X265 = {
    "preset": "ultrafast",
    "x265-params": "log-level=none:b-adapt=0:scenecut=0:bframes=3:keyint=15",
}
VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "15"}
FILES: dict[str, Callable[[Path], Path]] = {
    "h264_closed_gop.mp4": lambda p: encode(p, "libx264", {**X264, "g": "12", "bf": "0"}),
    "h264_b_frames.mp4": lambda p: encode(p, "libx264", B_FRAMES),
    "h264_open_gop.mp4": lambda p: encode(p, "libx264", OPEN_GOP),
    "h264_one_keyframe.mp4": lambda p: encode(p, "libx264", {**X264, "g": "999"}),
    "h264.avi": lambda p: encode(p, "libx264", {**X264, "g": "12"}),
    "h264_b_frames.avi": lambda p: encode(p, "libx264", B_FRAMES),
    "h264_b_frames.mkv": lambda p: encode(p, "libx264", B_FRAMES),
    "h264_open_gop.mov": lambda p: encode(p, "libx264", OPEN_GOP),
    "mpeg4_b_frames.avi": lambda p: encode(p, "mpeg4", {"g": "12", "bf": "2", "q": "3"}),
    "mpeg4_b_frames.mp4": lambda p: encode(p, "mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4_packed_b_frames.avi": lambda p: pack_b_frames(
        encode(p.with_name("loose.avi"), "mpeg4", {"g": "12", "bf": "1", "q": "3"}), p
    ),
    "mpeg4_plain.avi": lambda p: encode(p, "mpeg4", {"g": "12"}),
    "hevc_b_frames.mp4": lambda p: encode(p, "libx265", X265),
    "hevc_b_frames.mkv": lambda p: encode(p, "libx265", X265),
    "vp9.webm": lambda p: encode(p, "libvpx-vp9", VP9),
    "vp9.mkv": lambda p: encode(p, "libvpx-vp9", VP9),
    "av1.mp4": lambda p: encode(p, "libsvtav1", {"preset": "13", "g": "15"}, num_frames=30),
    "variable_rate.mp4": lambda p: encode(p, "libx264", X264, timestamps=variable_rate(60)),
    "variable_rate_b_frames.mp4": lambda p: encode(
        p, "libx264", B_FRAMES, timestamps=variable_rate(60)
    ),
    "single_frame.mp4": lambda p: encode(p, "libx264", X264, num_frames=1),
    "odd_size.mp4": lambda p: encode(p, "libx264", X264, size=(65, 97), pix_fmt="yuv444p"),
    "odd_size.webm": lambda p: encode(p, "libvpx-vp9", VP9, size=(65, 97)),
    "with_audio.mp4": lambda p: encode(p, "libx264", B_FRAMES, audio=True),
    "faststart.mp4": lambda p: encode(
        p, "libx264", X264, container_options={"movflags": "faststart"}
    ),
    "motion_jpeg.avi": lambda p: encode(p, "mjpeg", {"q": "3"}, pix_fmt="yuvj420p"),
    "cut_mid_gop.mp4": lambda p: cut_by_copy(
        encode(p.with_name("whole.mp4"), "libx264", B_FRAMES), p, 20
    ),
    "cut_mid_gop.avi": lambda p: cut_by_copy(
        encode(p.with_name("whole.avi"), "mpeg4", {"g": "12", "bf": "2", "q": "3"}), p, 20
    ),
}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every generated file by name."""
    folder = tmp_path_factory.mktemp("videos")
    return {name: make(folder / name) for name, make in FILES.items()}


def sequential_indices(path: Path) -> list[int]:
    """What every frame of a plain sequential decode shows: the truth."""
    with av.open(str(path)) as container:
        frames = []
        try:
            for frame in container.decode(video=0):
                frames.append(shown_index(frame.to_ndarray(format="rgb24")))
        except av.FFmpegError:
            return frames
        return frames
