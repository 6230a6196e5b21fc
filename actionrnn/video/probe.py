"""What a file is, read from its container without decoding; and, if it is no video, why not."""

import os
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrnn.video.errors import DecoderRefused, VideoError, VideoNotFound, VideoUnreadable
from actionrnn.video.formats import OPENED_FORMATS, is_still
from actionrnn.video.orientation import (
    AS_CODED,
    TURNED,
    Orientation,
    mp4_orientations,
    orientation_of,
)

# On these the colour conversion of every decoder agrees bit for bit with PyAV's. Of deeper
# pictures and odd sizes it differs by up to 189 of 255 levels.
PLAIN_PIXEL_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")

_FFMPEG_ERRORS = (av.FFmpegError, OSError, ValueError)
# How texts begin that name other files (M3U8, FFmpeg's concat, SDP).
_PLAYLISTS = (b"#EXTM3U", b"ffconcat version", b"v=0")
# In these, going back to the start finds the first picture; in an MPEG program stream it does not.
PLAIN_CONTAINERS = frozenset(("mp4", "matroska", "avi"))


@dataclass(frozen=True)
class Probe:
    """The first video stream of a file (cover pictures apart), by its packets.

    Attributes:
        stamps: presentation times of the packets in their order, in units of the stream; None
            where one lacks or repeats.
        timestamps_seconds: presentation times in order, from 0, float64 (num_frames,). A file
            without them (AVI) gets them from its frame rate.
        fps: average frames per second.
        pixel_format: of the coded pictures, such as `yuv420p`.
        width, height: of the coded pictures, in pixels, before rotation.
        starts_whole: the first packet is a keyframe. If it is not (a cut by copying), the packets
            before the first one show nothing.
        stream_index: of the stream among all streams.
        num_video_streams: how many there are to choose from.
        container_format: FFmpeg's name of it.
        num_announced: frames that the container's header speaks of, 0 if it does not.
        num_packets: coded pictures that are in the file, those never shown included.
    """

    stamps: tuple[int, ...] | None
    timestamps_seconds: NDArray[np.float64]
    fps: float
    pixel_format: str
    width: int
    height: int
    starts_whole: bool
    stream_index: int
    num_video_streams: int
    container_format: str
    num_announced: int
    num_packets: int

    @property
    def num_promised(self) -> int:
        """Frames that the container speaks of, less those which it says are not to be shown."""
        hidden = self.num_packets - len(self.timestamps_seconds)
        return max(self.num_announced - hidden, len(self.timestamps_seconds))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the container, in words."""
        if self.num_packets >= self.num_announced:
            return ()
        announced, there = self.num_announced, self.num_packets
        return (f"its header promises {announced} frames, the file holds {there}",)

    def require_plain(self, path: str, decoder: str) -> None:
        """Refuse a file that only PyAV reads exactly.

        Raises:
            DecoderRefused: naming what is special about it.
        """
        if self.pixel_format not in PLAIN_PIXEL_FORMATS or self.width % 2 or self.height % 2:
            size = f"{self.width}x{self.height}"
            raise DecoderRefused(path, f"{decoder} is inexact on {self.pixel_format} at {size}")
        if not PLAIN_CONTAINERS.intersection(self.container_format.split(",")):
            reason = f"{decoder} is not known to be exact on {self.container_format} files"
            raise DecoderRefused(path, reason)
        is_mp4 = "mp4" in self.container_format
        if not _orientations(path, self.container_format) <= (
            set(TURNED) if is_mp4 else {AS_CODED}
        ):
            raise DecoderRefused(path, f"{decoder} does not turn or mirror it as it should")
        if not self.starts_whole:
            reason = f"it does not start with a keyframe, which {decoder} hides"
            raise DecoderRefused(path, reason)


def open_container(path: str) -> InputContainer:
    """Open a file that has a video stream with a codec that is known here.

    Raises:
        VideoNotFound: if it is missing, a directory, or may not be read.
        VideoUnreadable: with the real reason if it is no video.
    """
    _require_readable(path)
    try:
        options = {"format_whitelist": OPENED_FORMATS, "protocol_whitelist": "file"}
        container = av.open("file:" + path, metadata_errors="replace", options=options)
    except _FFMPEG_ERRORS as error:
        raise VideoUnreadable(path, why_unreadable(path, error)) from error
    if container.streams.video:
        if video_stream(container).codec_context is not None:
            return container
        reason = "its video codec is not supported"
    else:
        kinds = sorted({stream.type for stream in container.streams})
        reason = f"it has no video stream, only {', '.join(kinds) or 'an empty container'}"
    container.close()
    raise VideoUnreadable(path, reason)


def why_no_video(path: str) -> str:
    """Why a file, of whatever ending, is no film that can be read; empty if it is one.

    One picture of it is decoded, for FFmpeg finds "video" in music's covers and in random bytes.
    """
    try:
        with open_container(path) as container:
            if is_still(container.format.name):
                return "it is a single picture"
            stream = video_stream(container)
            if stream.disposition & Disposition.attached_pic:
                return "it has no video stream, only a cover picture"
            next(container.decode(stream))
    except VideoError as error:
        return error.reason
    except (StopIteration, *_FFMPEG_ERRORS) as error:
        return f"not one frame can be decoded ({error})"
    return ""


def video_stream(container: InputContainer) -> VideoStream:
    """The first video stream that is no cover picture, or the first one."""
    streams = container.streams.video
    films = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    return (films or list(streams))[0]


def _require_readable(path: str) -> None:
    if os.path.exists(path) and not os.path.isfile(path):
        raise VideoNotFound(path, "this is no regular file (a pipe, a device or a directory)")
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError as error:
        is_link = os.path.islink(path)
        reason = "it is a link to a file that is gone" if is_link else "there is no such file"
        raise VideoNotFound(path, reason) from error
    except OSError as error:
        raise VideoNotFound(path, f"it cannot be opened ({error.strerror})") from error


def why_unreadable(path: str, error: BaseException) -> str:
    """The real cause behind FFmpeg's generic "invalid data", from the file's first bytes."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(4096)
    if size == 0:
        return "the file is empty (0 bytes)"
    if head.lstrip()[:1] == b"<":
        return "this is a web page or XML, not a video: the download went wrong"
    if head.lstrip(b"\xef\xbb\xbf").startswith(_PLAYLISTS):
        return "this is a playlist, which is not followed: give the files that it names"
    text = head.decode("utf-8", "ignore")  # a letter may be cut at the end
    if len(text.encode()) > len(head) - 4 and all(c.isprintable() or c.isspace() for c in text):
        return "this is text, not a video"
    if head[4:8] == b"ftyp" and b"moov" not in _mp4_boxes(path):
        return "the MP4 has no index (moov): the file was cut short"
    if isinstance(error, av.FFmpegError):
        return f"it is no readable video ({error.strerror})"
    return f"it is no readable video ({error})"


def _mp4_boxes(path: str) -> dict[bytes, tuple[int, int]]:
    """Position and length in bytes of the outermost boxes of an MP4, by their type."""
    boxes, position, size = {}, 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # the true length follows, in 64 bits
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0 is "up to the end"
                length = size - position
            boxes[header[4:8]] = (position, length)
            position += length
    return boxes


def probe(path: str) -> Probe:
    """Count and time the frames of a file.

    Raises:
        VideoError: if it is no video, or has no packet.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        stamps: list[int | None] = []
        starts_whole, num_packets = True, 0
        try:
            for packet in container.demux(stream):
                num_packets += bool(packet.size)
                # Discarded packets (edit lists) are decoded but never shown.
                if packet.size and not packet.is_discard:
                    starts_whole = packet.is_keyframe if not stamps else starts_whole
                    stamps.append(packet.pts)
        except _FFMPEG_ERRORS as error:
            if not stamps:
                raise VideoUnreadable(path, f"nothing can be read from it ({error})") from error
        if not stamps:
            reason = f"its video stream is empty (its header promises {stream.frames} frames)"
            raise VideoUnreadable(path, reason)
        known = tuple(stamp for stamp in stamps if stamp is not None)
        return Probe(
            known if len(set(known)) == len(stamps) else None,
            times_of(stamps, float(stream.time_base or 1), fps),
            fps,
            stream.codec_context.pix_fmt or "",
            stream.codec_context.width,
            stream.codec_context.height,
            starts_whole,
            stream.index,
            len(container.streams.video),
            container.format.name,
            stream.frames,
            num_packets,
        )


def _orientations(path: str, container_format: str) -> set[Orientation]:
    """How pictures are to be turned, as cheaply as the container tells it."""
    if container_format == "avi":
        return {AS_CODED}
    if "mp4" in container_format:
        position, length = _mp4_boxes(path).get(b"moov", (0, 0))
        with open(path, "rb") as file:
            file.seek(position)
            return mp4_orientations(file.read(length))
    with open_container(path) as container:
        stream = video_stream(container)
        stream.thread_type = "NONE"
        try:
            return {orientation_of(next(container.decode(stream)))}
        except (StopIteration, *_FFMPEG_ERRORS):
            return {AS_CODED}  # said by whoever decodes it


def times_of(stamps: list[int | None], unit_seconds: float, fps: float) -> NDArray[np.float64]:
    """Seconds from the first frame, in order; by the frame rate where stamps lack or repeat."""
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or len(set(known)) < len(known):
        return np.arange(len(stamps)) / fps
    times: NDArray[np.float64] = np.sort(np.array(known, dtype=np.float64))
    return np.asarray((times - times[0]) * unit_seconds)


def part(
    path: str,
    timestamps_seconds: NDArray[np.float64],
    start_seconds: float | None,
    end_seconds: float | None,
) -> slice:
    """The frames shown from `start_seconds` until before `end_seconds`.

    Raises:
        VideoUnreadable: if there are none.
    """
    first, stop = 0, len(timestamps_seconds)
    if start_seconds is not None:
        first = int(np.searchsorted(timestamps_seconds, start_seconds - 1e-6))
    if end_seconds is not None:
        stop = int(np.searchsorted(timestamps_seconds, end_seconds - 1e-6))
    if stop <= first:
        last = float(timestamps_seconds[-1])
        raise VideoUnreadable(
            path,
            f"no frame lies between {start_seconds} s and {end_seconds} s; the last is at "
            f"{last:.3f} s",
        )
    return slice(first, stop)
