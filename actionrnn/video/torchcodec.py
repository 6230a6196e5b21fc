"""torchcodec behind the FrameReader protocol; needs the FFmpeg libraries of the system.

Its random access goes by time stamps and by the keyframes that the container announces, and gives
wrong frames or none where those are missing (B-frames in AVI, H.263 in 3GP). So it is asked for
nothing but the next frame, for which it has no public function yet.
"""

import importlib
import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrnn.video.errors import DecoderRefused
from actionrnn.video.index import IndexedReader
from actionrnn.video.reader import Shape, as_decoded
from actionrnn.video.room import Gathered

try:
    VideoDecoder = importlib.import_module("torchcodec.decoders").VideoDecoder
    get_next_frame = importlib.import_module("torchcodec._core").get_next_frame
except (ImportError, OSError, RuntimeError, AttributeError) as error:
    raise ValueError(
        "reader 'torchcodec' cannot be loaded: it needs the package torchcodec, built for this "
        "version of torch, and FFmpeg's shared libraries (such as the system package ffmpeg)"
    ) from error


class TorchCodecReader(IndexedReader):
    """See FrameReader.

    Raises:
        DecoderRefused: if torchcodec cannot decode the file, or converts its pixels inexactly.
    """

    name = "torchcodec"
    version = importlib.metadata.version("torchcodec")

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        super().__init__(path, start_seconds, end_seconds)
        self._index.require_plain(path, self.name)
        self._decoder = self._at_the_start()

    def _at_the_start(self) -> Any:
        try:
            return VideoDecoder(
                os.path.abspath(self.path),
                stream_index=self._index.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                seek_mode="approximate",  # else it would look through the file as we did
            )
        except (RuntimeError, ValueError) as error:
            raise self._refused("cannot open it", error) from error

    def read(self, indices: Sequence[int], shape: Shape = as_decoded) -> NDArray[np.uint8]:
        """See FrameReader."""
        numbers = self._numbers(indices)
        self._decoder = self._at_the_start()
        found = Gathered(set(numbers))
        shapes = set()
        try:
            for number in range(max(numbers) + 1):
                pixels = get_next_frame(self._decoder._decoder)[0]
                shapes.add(tuple(pixels.shape))
                if len(shapes) > 1:
                    raise ValueError("it does not scale pictures that change size")
                if number in found:
                    found.add(number, shape(pixels.numpy()))
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._refused("failed", error) from error
        return found.in_order(numbers)

    def _refused(self, what: str, error: Exception) -> DecoderRefused:
        return DecoderRefused(self.path, f"torchcodec {what}: {str(error).splitlines()[-1][:120]}")

    def close(self) -> None:
        """Free the decoder."""
        del self._decoder
