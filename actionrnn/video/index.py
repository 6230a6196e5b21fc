"""The frames of a file by number and time: from its packets, or decoded where those do not tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrnn.video.errors import DecoderRefused, VideoUnreadable
from actionrnn.video.orientation import (
    AS_CODED,
    TURNED,
    Orientation,
    mp4_orientations,
    orientation_of,
)
from actionrnn.video.probe import FFMPEG_ERRORS, films_of, open_container, video_stream
from actionrnn.video.reader import FrameReader
from actionrnn.video.sequential import decoded_frames, is_hidden, may_be_placeholder
from actionrnn.video.structure import avi_is_whole, mp4_boxes

# On these the colour conversion of every decoder agrees bit for bit with PyAV's. Of deeper
# pictures and odd sizes it differs by up to 189 of 255 levels.
PLAIN_PIXEL_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")
# In these, going back to the start finds the first picture; in an MPEG program stream it does not.
PLAIN_CONTAINERS = frozenset(("mp4", "matroska", "avi"))


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a file's film.

    Attributes:
        timestamps_seconds: presentation times in order, from 0, float64 (num_frames,). A file
            without them gets them from its frame rate.
        fps: average frames per second.
        pixel_format: of the coded pictures, such as `yuv420p`.
        width, height: of the first coded picture, in pixels, before rotation.
        starts_whole: the first packet is a keyframe that every later one can build on. If it is
            not (a cut by copying), the first pictures cannot be decoded.
        stream_index: of the film among all streams.
        num_streams: of the file that hold pictures.
        note: which was chosen, if there were several films; else empty.
        container_format: FFmpeg's name of it.
        num_announced: frames that the container's header speaks of, 0 if it does not.
        num_packets: coded pictures that are in the file, those never shown included.
        num_hidden: of those, how many are there to be never shown.
    """

    timestamps_seconds: NDArray[np.float64]
    fps: float
    pixel_format: str
    width: int
    height: int
    starts_whole: bool
    stream_index: int
    num_streams: int
    note: str
    container_format: str
    num_announced: int
    num_packets: int
    num_hidden: int

    @property
    def num_frames(self) -> int:
        """Frames that there are, as far as can be told before all is decoded."""
        return len(self.timestamps_seconds)

    @property
    def num_promised(self) -> int:
        """Frames that the container speaks of, less those which are not to be shown."""
        return max(self.num_announced, self.num_packets) - self.num_hidden

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the container, in words."""
        odd = [self.note] if self.note else []
        if self.num_packets < self.num_announced:
            announced, there = self.num_announced, self.num_packets
            odd.append(f"its header promises {announced} frames, the file holds {there}")
        elif self.num_frames < self.num_promised:
            odd.append(shorter(self.num_promised, self.num_frames))
        return tuple(odd)

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


def shorter(promised: int, there: int) -> str:
    """The reason of a `VideoShorter`."""
    return f"it promises {promised} frames, {there} can be decoded"


@dataclass(frozen=True)
class _Packets:
    """What the packets of a stream tell: `stamps` of those that may show something."""

    stamps: list[int | None]
    starts_whole: bool
    num_packets: int
    num_doubtful: int


def index_frames(path: str) -> FrameIndex:
    """Count and time the frames of a file.

    Raises:
        VideoError: if it is no video, or has no packet.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        codec = stream.codec_context
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        found = _packets_of(path, container, stream)
        stamps = found.stamps
        num_hidden = found.num_packets - len(stamps)
        if found.num_doubtful or not found.starts_whole:
            stamps = [frame.pts for frame in decoded_frames(path)]
            num_hidden += min(found.num_doubtful, max(0, len(found.stamps) - len(stamps)))
        # An AVI's header counts moments, also those at which nothing new is shown.
        is_whole_avi = container.format.name == "avi" and avi_is_whole(path)
        return FrameIndex(
            timestamps_seconds=times_of(stamps, float(stream.time_base or 1), fps),
            fps=fps,
            pixel_format=codec.pix_fmt or "",
            width=codec.width,
            height=codec.height,
            starts_whole=found.starts_whole,
            stream_index=stream.index,
            num_streams=len(container.streams.video),
            note=_choice(stream, len(films_of(container))),
            container_format=container.format.name,
            num_announced=0 if is_whole_avi else stream.frames,
            num_packets=found.num_packets,
            num_hidden=num_hidden,
        )


def _packets_of(path: str, container: InputContainer, stream: VideoStream) -> _Packets:
    codec_name = stream.codec_context.name
    stamps: list[int | None] = []
    starts_whole, num_packets, num_doubtful = True, 0, 0
    try:
        for packet in container.demux(stream):
            num_packets += bool(packet.size)
            # Discarded packets (edit lists) are decoded but never shown.
            if packet.size and not packet.is_discard and not is_hidden(packet, codec_name):
                starts_whole = packet.is_keyframe if not stamps else starts_whole
                num_doubtful += may_be_placeholder(packet, codec_name)
                stamps.append(packet.pts)
    except FFMPEG_ERRORS as error:
        if not stamps:
            raise VideoUnreadable(path, f"nothing can be read from it ({error})") from error
    if not stamps:
        reason = f"its video stream is empty (its header promises {stream.frames} frames)"
        raise VideoUnreadable(path, reason)
    # Pictures shown before the keyframe that they follow refer to what was cut away.
    earliest = min((stamp for stamp in stamps if stamp is not None), default=None)
    starts_whole &= stamps[0] in (None, earliest)
    return _Packets(stamps, starts_whole, num_packets, num_doubtful)


def _choice(stream: VideoStream, num_films: int) -> str:
    if num_films == 1:
        return ""
    size = f"{stream.codec_context.width}x{stream.codec_context.height}"
    return f"it has {num_films} video streams; number {stream.index} is read, of {size}"


def _orientations(path: str, container_format: str) -> set[Orientation]:
    """How pictures are to be turned, as cheaply as the container tells it."""
    if container_format == "avi":
        return {AS_CODED}
    if "mp4" in container_format:
        position, length = mp4_boxes(path).get(b"moov", (0, 0))
        with open(path, "rb") as file:
            file.seek(position)
            return mp4_orientations(file.read(length))
    with open_container(path) as container:
        stream = video_stream(container)
        stream.thread_type = "NONE"
        try:
            return {orientation_of(next(container.decode(stream)))}
        except (StopIteration, *FFMPEG_ERRORS):
            return {AS_CODED}  # said by whoever decodes it


class IndexedReader(FrameReader):
    """What readers of files share: the index, and the part of it that is read.

    Attributes:
        first: number in the file of the part's first frame.
    """

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.path = path
        self._index = index_frames(path)
        self._seconds = (start_seconds, end_seconds)
        self.fps = self._index.fps
        self.warnings = self._index.warnings
        self._choose(self._index.timestamps_seconds)

    def _choose(self, timestamps_seconds: NDArray[np.float64]) -> None:
        chosen = part(self.path, timestamps_seconds, *self._seconds)
        self.first = int(chosen.start)
        self.timestamps_seconds = timestamps_seconds[chosen]
        self.num_frames = len(self.timestamps_seconds)

    def _numbers(self, indices: Sequence[int]) -> list[int]:
        """Numbers in the file of the frames asked for."""
        check_indices(indices, self.num_frames)
        return [index + self.first for index in indices]


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Raise IndexError unless there are indices and 0 <= index < num_frames for each."""
    bad = [index for index in indices if not 0 <= index < num_frames]
    if bad or not len(indices):
        raise IndexError(f"frame indices {bad[:5]} outside 0..{num_frames - 1}")


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
