"""PyAV behind the FrameReader protocol: one sequential decode, as far as the last frame asked."""

import itertools
import sys
from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from actionrnn.video.errors import VideoShorter, VideoUnreadable
from actionrnn.video.orientation import orientation_of, upright
from actionrnn.video.probe import open_container, part, probe, times_of, video_stream


class PyAVReader:
    """See FrameReader."""

    name = "pyav"
    version = av.__version__

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.path = path
        found = probe(path)
        self.fps = found.fps
        self.warnings = self._notes = found.warnings
        self._seconds = (start_seconds, end_seconds)
        self._reformatter = VideoReformatter()  # one for all: setting one up takes a millisecond
        self._first_stamp = min(found.stamps) if found.stamps else None
        self._choose(found.timestamps_seconds)

    def _choose(self, timestamps_seconds: NDArray[np.float64]) -> None:
        chosen = part(self.path, timestamps_seconds, *self._seconds)
        self.first = int(chosen.start)
        self.timestamps_seconds = timestamps_seconds[chosen]
        self.num_frames = len(self.timestamps_seconds)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """See FrameReader."""
        check_indices(indices, self.num_frames)
        wanted = {index + self.first for index in indices}
        found: dict[int, NDArray[np.uint8]] = {}
        stamps: list[int | None] = []
        num_damaged = 0
        unit_seconds = 1.0
        for number, frame in enumerate(self._decode(max(wanted))):
            stamps.append(frame.pts)
            unit_seconds = float(frame.time_base or 1)
            num_damaged += bool(frame.is_corrupt)
            if number in wanted:
                found[number] = self._upright(frame, number)
        if num_damaged:
            note = f"{num_damaged} of {len(stamps)} frames are damaged"
            self.warnings = (*self._notes, note)
        if not stamps:
            raise VideoUnreadable(self.path, "not one frame can be decoded")
        # Pictures before the first keyframe of a cut are never shown: all times are others.
        starts_late = self._first_stamp not in (None, stamps[0])
        if starts_late:
            self._first_stamp = stamps[0]
            stamps = [frame.pts for frame in self._decode(sys.maxsize)]
        if starts_late or len(found) < len(wanted):
            promised = self.num_frames
            self._choose(times_of(stamps, unit_seconds, self.fps))
            reason = f"it promises {promised} frames, {self.num_frames} can be decoded"
            raise VideoShorter(self.path, reason, self.num_frames)
        sizes = sorted({frame.shape[:2] for frame in found.values()})
        if len(sizes) > 1:
            raise VideoUnreadable(
                self.path, f"its pictures change size, from {sizes[0]} to {sizes[-1]}"
            )
        return np.stack([found[index + self.first] for index in indices])

    def _upright(self, frame: av.VideoFrame, number: int) -> NDArray[np.uint8]:
        try:
            picture = self._reformatter.reformat(frame, format="rgb24", threads=1)
            pixels = picture.to_ndarray().astype(np.uint8, copy=False)
            return upright(pixels, orientation_of(frame))
        except (av.FFmpegError, ValueError) as error:
            reason = f"frame {number} cannot be converted to RGB ({error})"
            raise VideoUnreadable(self.path, reason) from error

    def _decode(self, last: int) -> Iterator[av.VideoFrame]:
        """Frames up to number `last`, or up to the first that cannot be decoded."""
        with open_container(self.path) as container:
            stream = video_stream(container)
            stream.thread_type = "NONE"
            frames = container.decode(stream)
            for number in itertools.count():
                if number > last:
                    return
                try:
                    frame = next(frames)
                except StopIteration:
                    return
                except MemoryError:  # FFmpeg's too: no end of the video
                    raise
                except av.FFmpegError as error:
                    if number == 0:
                        reason = f"not one frame can be decoded ({error.strerror or error})"
                        raise VideoUnreadable(self.path, reason) from error
                    return
                yield frame

    def close(self) -> None:
        """Nothing is held open between two reads."""


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Raise IndexError unless there are indices and 0 <= index < num_frames for each."""
    bad = [index for index in indices if not 0 <= index < num_frames]
    if bad or not len(indices):
        raise IndexError(f"frame indices {bad[:5]} outside 0..{num_frames - 1}")
