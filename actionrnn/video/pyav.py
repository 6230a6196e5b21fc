"""PyAV behind the FrameReader protocol: one sequential decode, as far as the last frame asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from actionrnn.video.errors import VideoShorter, VideoUnreadable


@dataclass(frozen=True)
class Packets:
    """What the container says of its video stream, without decoding.

    Attributes:
        timestamps_seconds: presentation times in order, from 0, float64 (num_frames,).
        fps: average frames per second.
    """

    timestamps_seconds: NDArray[np.float64]
    fps: float


def open_container(path: str) -> "av.container.InputContainer":
    """Open a file that has a video stream with a known codec.

    Raises:
        VideoUnreadable: with the real reason otherwise.
    """
    try:
        container = av.open("file:" + path)
    except (OSError, ValueError) as error:  # av.FFmpegError is an OSError or ValueError
        raise VideoUnreadable(path, f"not a readable video file ({error.args[-1]})") from error
    if not container.streams.video:
        kinds = sorted({stream.type for stream in container.streams})
        container.close()
        raise VideoUnreadable(path, f"no video stream (found: {', '.join(kinds) or 'nothing'})")
    return container


def read_packets(path: str) -> Packets:
    """Count and time the frames of a file from its packets.

    Raises:
        VideoUnreadable: if it is no video, or no packet is in it.
    """
    with open_container(path) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        pts = []
        try:
            pts = [packet.pts for packet in container.demux(stream) if packet.size]
        except (OSError, ValueError) as error:
            if not pts:
                raise VideoUnreadable(path, f"no packet can be read ({error})") from error
        if not pts:
            raise VideoUnreadable(path, "the video stream is empty")
        if any(stamp is None for stamp in pts):  # AVI keeps no presentation times
            times = np.arange(len(pts)) / fps
        else:
            times = np.sort(np.array(pts, dtype=np.float64)) * float(stream.time_base or 1)
        return Packets(times - times[0], fps)


def upright(frame: "av.VideoFrame") -> NDArray[np.uint8]:
    """A frame as RGB (H, W, 3), turned as its rotation metadata says."""
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


class PyAVReader:
    """See FrameReader."""

    name = "pyav"
    version = av.__version__

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.path = path
        packets = read_packets(path)
        self.fps = packets.fps
        self.warnings: tuple[str, ...] = ()
        self.first, self.stop = part(path, packets.timestamps_seconds, start_seconds, end_seconds)
        self.timestamps_seconds = packets.timestamps_seconds[self.first : self.stop]
        self.num_frames = self.stop - self.first

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """See FrameReader."""
        check_indices(indices, self.num_frames)
        wanted = set(indices)
        found: dict[int, NDArray[np.uint8]] = {}
        decoded = 0
        for number, frame in enumerate(self._decode(max(wanted) + self.first)):
            decoded = number + 1
            if number - self.first in wanted:
                found[number - self.first] = upright(frame)
        if len(found) < len(wanted):
            missing = max(0, decoded - self.first)
            reason = f"promises {self.num_frames} frames, {missing} can be decoded"
            raise VideoShorter(self.path, reason, missing)
        return np.stack([found[index] for index in indices])

    def _decode(self, last: int) -> Iterator["av.VideoFrame"]:
        with open_container(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            frames = container.decode(stream)
            for number in range(last + 1):
                try:
                    frame = next(frames)
                except StopIteration:
                    return
                except (OSError, ValueError) as error:
                    if number == 0:
                        reason = f"no frame can be decoded ({error.args[-1]})"
                        raise VideoUnreadable(self.path, reason) from error
                    return
                yield frame

    def close(self) -> None:
        """Nothing is held open between two reads."""


def part(
    path: str,
    timestamps_seconds: NDArray[np.float64],
    start_seconds: float | None,
    end_seconds: float | None,
) -> tuple[int, int]:
    """First and one past the last frame shown from `start_seconds` until before `end_seconds`.

    Raises:
        VideoUnreadable: if no frame lies between them.
    """
    first, stop = 0, len(timestamps_seconds)
    if start_seconds is not None:
        first = int(np.searchsorted(timestamps_seconds, start_seconds - 1e-6))
    if end_seconds is not None:
        stop = int(np.searchsorted(timestamps_seconds, end_seconds - 1e-6))
    if stop <= first:
        last = float(timestamps_seconds[-1])
        raise VideoUnreadable(
            path, f"no frame between {start_seconds} s and {end_seconds} s (last at {last:.3f} s)"
        )
    return first, stop


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Raise IndexError unless there are indices and 0 <= index < num_frames for each."""
    bad = [index for index in indices if not 0 <= index < num_frames]
    if bad or not len(indices):
        raise IndexError(f"frame indices {bad[:5]} outside 0..{num_frames - 1}")
