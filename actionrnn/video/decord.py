"""decord behind the FrameReader protocol, kept from seeking: its seeks land on wrong frames.

decord maps keyframes in packet order onto time stamps that AVI lacks and B-frames shift, so a
plain `get_batch` returns wrong frames on many files, silently. Asking for the frame before every
keyframe as well makes it decode straight through (it never finds a reason to seek).
"""

from collections.abc import Sequence

import decord
import numpy as np
from numpy.typing import NDArray

from actionrnn.video.errors import VideoShorter, VideoUnreadable
from actionrnn.video.pyav import check_indices, part, read_packets


class DecordReader:
    """See FrameReader."""

    name = "decord"
    version = decord.__version__

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.path = path
        packets = read_packets(path)
        try:
            self._video = decord.VideoReader(_plain(path), ctx=decord.cpu(0), num_threads=1)
        except Exception as error:  # decord raises its own bare Exception types
            raise VideoUnreadable(path, f"decord cannot open it ({_first_line(error)})") from error
        self.fps = packets.fps
        self.warnings: tuple[str, ...] = ()
        times = packets.timestamps_seconds
        count = len(self._video)
        if count != len(times):
            self.warnings = (f"{len(times)} packets but decord counts {count} frames",)
            times = np.arange(count) / self.fps
        self.first, self.stop = part(path, times, start_seconds, end_seconds)
        self.timestamps_seconds = times[self.first : self.stop]
        self.num_frames = self.stop - self.first

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """See FrameReader."""
        check_indices(indices, self.num_frames)
        wanted = sorted({index + self.first for index in indices})
        bridges = {k - 1 for k in self._video.get_key_indices() if 0 < k <= wanted[-1]}
        union = sorted(bridges | set(wanted))
        try:
            frames = self._video.get_batch(union).asnumpy()
            self._video.seek(0)
        except Exception as error:  # decord raises its own bare Exception types
            raise VideoShorter(self.path, f"decoding failed ({_first_line(error)})", 0) from error
        place = {index: number for number, index in enumerate(union)}
        return frames[[place[index + self.first] for index in indices]]

    def close(self) -> None:
        """Free the decoder."""
        del self._video


def _plain(path: str) -> str:
    return path if not path.startswith("-") else "./" + path


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
