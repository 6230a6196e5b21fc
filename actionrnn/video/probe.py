"""What a file is and which of its streams is the film; and, if it is no video, why not."""

import contextlib
import os
from collections import Counter

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from actionrnn.places import is_remote
from actionrnn.video.errors import VideoError, VideoNotFound, VideoUnreadable
from actionrnn.video.formats import OPENED_FORMATS, is_still
from actionrnn.video.structure import mp4_boxes

_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
FFMPEG_ERRORS = (av.FFmpegError, OSError, ValueError)
# How texts begin that name other files (M3U8, FFmpeg's concat, SDP).
_PLAYLISTS = (b"#EXTM3U", b"ffconcat version", b"v=0")


def open_container(path: str) -> InputContainer:
    """Open a file that has a video stream with a codec that is known here.

    Raises:
        VideoNotFound: if it is missing, a directory, or may not be read.
        VideoUnreadable: with the real reason if it is no video.
    """
    _require_readable(path)
    try:
        container = _opened("file:" + path)
    except FFMPEG_ERRORS as error:
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


def _opened(name: str) -> InputContainer:
    options = {"format_whitelist": OPENED_FORMATS, "protocol_whitelist": "file"}
    return av.open(name, metadata_errors="replace", options=options)


def why_no_video(path: str) -> str:
    """Why a file, of whatever ending, is no film that can be read; empty if it is one.

    A picture of it is decoded, for FFmpeg finds "video" in music's covers and in random bytes.
    """
    try:
        with open_container(path) as container:
            if is_still(container.format.name):
                return "it is a single picture"
            stream = video_stream(container)
            if stream.disposition & _STILLS:
                return "it has no video stream, only a cover picture"
            return _why_no_film(container, stream)
    except VideoError as error:
        return error.reason
    except FFMPEG_ERRORS as error:
        return f"not one frame can be decoded ({error})"


def _why_no_film(container: InputContainer, stream: VideoStream) -> str:
    num_packets = num_frames = 0
    for packet in container.demux(stream):
        num_packets += bool(packet.size)
        num_frames += len(packet.decode())
        if num_frames and num_packets > 1:
            return ""
    # HEIC and AVIF, whose containers are those of films, and icons.
    return "it is a single picture" if num_frames else "not one frame can be decoded"


def video_stream(container: InputContainer) -> VideoStream:
    """The film to read: the default-flagged, and among several the largest, as FFmpeg chooses."""
    films = films_of(container)
    flagged = [stream for stream in films if stream.disposition & Disposition.default]
    return max(flagged or films, key=_area)


def _area(stream: VideoStream) -> int:
    codec = stream.codec_context  # None if it is not supported
    return codec.width * codec.height if codec else 0


def films_of(container: InputContainer) -> list[VideoStream]:
    """The video streams of a file; covers, thumbnails and stills only where there is no other."""
    streams = list(container.streams.video)
    moving = [stream for stream in streams if not stream.disposition & _STILLS]
    if len(moving) > 1:
        more_than_one = _streams_of_several_pictures(container.name, len(moving))
        moving = [stream for stream in moving if stream.index in more_than_one] or moving
    return moving or streams


def _streams_of_several_pictures(name: str, num_films: int) -> set[int]:
    """Which streams go on after their first picture; looked up, for few headers tell."""
    counts: Counter[int] = Counter()
    with _opened(name) as container:
        moving = [s for s in container.streams.video if not s.disposition & _STILLS]
        with contextlib.suppress(*FFMPEG_ERRORS):  # said by whoever reads it all
            for packet in container.demux(moving):
                counts[packet.stream_index] += bool(packet.size)
                if sum(count > 1 for count in counts.values()) == num_films:
                    break
    return {index for index, count in counts.items() if count > 1}


def _require_readable(path: str) -> None:
    if os.path.exists(path) and not os.path.isfile(path):
        raise VideoNotFound(path, "this is no regular file (a pipe, a device or a directory)")
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError as error:
        if is_remote(path):
            reason = "this command reads local files alone: copy it to this machine first"
            raise VideoNotFound(path, reason) from error
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
    if head[4:8] == b"ftyp" and b"moov" not in mp4_boxes(path):
        return "the MP4 has no index (moov): the file was cut short"
    if isinstance(error, av.FFmpegError):
        return f"it is no readable video ({error.strerror})"
    return f"it is no readable video ({error})"
