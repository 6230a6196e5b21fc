"""decord behind the FrameReader protocol, asked for nothing but the next frame.

decord's random access maps keyframes in packet order onto time stamps that AVI lacks and that
B-frames shift, so a plain `get_batch` returns wrong frames on many files, silently (decord#54,
#77, #195, #252). Adding the frame before every keyframe to the request, so that it finds no reason
to seek, mends most files but not all (H.264 in AVI: tests/video); `skip_frames` is off wherever
frames are reordered. Its sequential decode is right. Where decord is not exact even so, or
complains of damage, it refuses, and PyAV tells what is truly there.
"""

import os
import re
from collections.abc import Sequence

import av  # noqa: F401  before decord, whose libraries then take the names of PyAV's (libvpx)
import decord
import numpy as np
from numpy.typing import NDArray

from actionrnn.video.complaints import complaints
from actionrnn.video.errors import DecoderRefused
from actionrnn.video.index import IndexedReader
from actionrnn.video.reader import Shape, as_decoded
from actionrnn.video.room import Gathered


class DecordReader(IndexedReader):
    """See FrameReader.

    Raises:
        DecoderRefused: if decord cannot open the file, counts other frames than it has packets,
            or converts its pixels inexactly.
    """

    name = "decord"
    version = decord.__version__

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        super().__init__(path, start_seconds, end_seconds)
        found = self._index
        found.require_plain(path, self.name)
        if found.num_streams > 1:
            raise DecoderRefused(path, "decord makes its own choice of several video streams")
        try:
            with complaints():  # the damage that it meets here it will meet again in reading
                # One thread: more readers beat more threads. A copy for a frame that is not there
                # is a fault at once: 0 would mean that none is, and 1 lets one through.
                self._video = decord.VideoReader(
                    os.path.abspath(path),  # else a leading dash or a colon would mean something
                    ctx=decord.cpu(0),
                    num_threads=1,
                    fault_tol=1e-9,
                )
        except Exception as error:  # decord raises bare Exceptions of its own
            raise DecoderRefused(path, f"decord cannot open it: {_brief(error)}") from error
        # It counts packets. Where fewer pictures are, it is asked for those alone.
        if len(self._video) < found.num_frames:
            reason = f"decord counts {len(self._video)} frames where {found.num_frames} are"
            raise DecoderRefused(path, reason)

    def read(self, indices: Sequence[int], shape: Shape = as_decoded) -> NDArray[np.uint8]:
        """See FrameReader."""
        numbers = self._numbers(indices)
        try:
            with complaints() as heard:
                found = self._decode(numbers, shape)
        except Exception as error:  # decord raises bare Exceptions of its own
            raise DecoderRefused(self.path, f"decord failed: {_brief(error)}") from error
        if heard:
            raise DecoderRefused(self.path, f"decord finds damage: {heard[0]}")
        return found.in_order(numbers)

    def _decode(self, numbers: list[int], shape: Shape) -> Gathered:
        self._video.seek(0)  # the start is the one place it finds; frees memory too (#157)
        found = Gathered(set(numbers))
        for number in range(max(numbers) + 1):
            frame = self._video.next()
            if number in found:
                pixels = frame.asnumpy()
                if pixels.shape[2] != 3:  # it takes the padding of narrow rows for pixels
                    raise ValueError(f"{pixels.shape[2]} colour channels")
                found.add(number, shape(pixels))
        return found

    def close(self) -> None:
        """Free the decoder, and hear out its thread, lest another video is blamed."""
        with complaints():
            del self._video


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\S+\.cc:\d+: |\[/[^]]*\] ?", "", lines[0].split("] ")[-1])[:120]
