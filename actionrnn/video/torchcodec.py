"""torchcodec behind the FrameReader protocol, on the CPU or on a GPU's video decoder.

It needs the FFmpeg libraries of the system.

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
import torch
from numpy.typing import NDArray

from actionrnn.launcher import local_rank
from actionrnn.video.errors import DecoderRefused
from actionrnn.video.index import IndexedReader
from actionrnn.video.reader import Shape, as_decoded
from actionrnn.video.room import Gathered

try:
    VideoDecoder = importlib.import_module("torchcodec.decoders").VideoDecoder
    core = importlib.import_module("torchcodec._core")
    get_next_frame = core.get_next_frame
    if core.ffmpeg_major_version is None:  # later versions load without, for pictures alone
        raise ImportError("FFmpeg's libraries are not found")
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
    device = "cpu"

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
                device=self.device,
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
                pixels, seconds, _ = get_next_frame(self._decoder._decoder)
                self._check(number, seconds)
                shapes.add(tuple(pixels.shape))
                if len(shapes) > 1:
                    raise ValueError("it does not scale pictures that change size")
                if number in found:
                    found.add(number, shape(pixels.cpu().numpy()))
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._refused("failed", error) from error
        return found.in_order(numbers)

    def _check(self, number: int, shown: torch.Tensor) -> None:
        """Nothing: on the CPU the next frame is FFmpeg's next."""

    def _refused(self, what: str, error: Exception) -> DecoderRefused:
        return DecoderRefused(self.path, f"torchcodec {what}: {str(error).splitlines()[-1][:120]}")

    def close(self) -> None:
        """Free the decoder."""
        del self._decoder


class TorchCodecCudaReader(TorchCodecReader):
    """H.264 and HEVC on a GPU's video decoder, which pays for HD: see FrameReader.

    The frames are those of the other readers; their pixels differ in the last bits, so that its
    features are others. Each frame's time is compared with the file's own. Several processes of a
    launcher take a GPU each.

    Raises:
        DecoderRefused: if the GPU cannot decode the file, or does not give every frame in order.
        ValueError: if there is no GPU that torch can use.
    """

    name = "torchcodec-cuda"
    codecs = ("h264", "hevc")

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.device = _own_gpu()
        super().__init__(path, start_seconds, end_seconds)
        codec = self._decoder.metadata.codec
        if codec not in self.codecs:
            reason = ValueError(f"it is {codec}, not {' or '.join(self.codecs)}")
            raise self._refused("does not decode it on the GPU", reason)

    def _check(self, number: int, shown: torch.Tensor) -> None:
        """Refuse what the CPU decoded, and a frame whose time is not that of its number."""
        seconds = float(shown)
        if number == 0:
            self._begin = seconds
            if self._decoder.cpu_fallback:  # earlier versions know it once a frame is decoded
                raise ValueError(str(self._decoder.cpu_fallback))
        if abs(seconds - self._begin - self._index.timestamps_seconds[number]) > 1e-4:
            raise ValueError(f"frame {number} is shown at {seconds:.3f} s, which is not its time")


def _own_gpu() -> str:
    if not torch.cuda.is_available():
        raise ValueError(
            f"reader 'torchcodec-cuda' needs an NVIDIA GPU, and PyTorch {torch.__version__} finds "
            f"none here: leave out --features.reader to decode on the CPU"
        )
    return f"cuda:{local_rank() % torch.cuda.device_count()}"
