"""torchcodec behind the FrameReader protocol; needs the FFmpeg libraries of the system.

It seeks by the keyframes that the container announces, and returns wrong frames where those are
none (H.263 in 3GP) or where there are no time stamps (B-frames in AVI). So it is told of one
keyframe only, the first, and never seeks; it refuses files without time stamps.
"""

import importlib
import importlib.metadata
import json
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actionrnn.video.errors import DecoderRefused
from actionrnn.video.index import FrameIndex, index_frames, part
from actionrnn.video.pyav import check_indices
from actionrnn.video.reader import Closes

try:
    VideoDecoder = importlib.import_module("torchcodec.decoders").VideoDecoder
except (ImportError, OSError, RuntimeError) as error:
    raise ValueError(
        "reader 'torchcodec' cannot be loaded: it needs the package torchcodec, built for this "
        "version of torch, and FFmpeg's shared libraries (such as the system package ffmpeg)"
    ) from error


class TorchCodecReader(Closes):
    """See FrameReader.

    Raises:
        DecoderRefused: if the file has no usable time stamps, or torchcodec cannot decode it or
            converts its pixels inexactly.
    """

    name = "torchcodec"
    version = importlib.metadata.version("torchcodec")

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.path = path
        found = index_frames(path)
        found.require_plain(path, self.name)
        try:
            self._video = VideoDecoder(
                os.path.abspath(path),
                stream_index=found.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                custom_frame_mappings=self._one_keyframe(found),
            )
        except (RuntimeError, ValueError) as error:
            raise self._refused("cannot open it", error) from error
        self.fps = found.fps
        self.warnings = found.warnings
        chosen = part(path, found.timestamps_seconds, start_seconds, end_seconds)
        self.first = int(chosen.start)
        self.timestamps_seconds = found.timestamps_seconds[chosen]
        self.num_frames = len(self.timestamps_seconds)

    def _one_keyframe(self, found: FrameIndex) -> str:
        if found.stamps is None or (found.reorders and found.container_format == "avi"):
            raise DecoderRefused(self.path, "it has no time stamps, which torchcodec goes by")
        stamps = sorted(found.stamps)
        ends = [*stamps[1:], 2 * stamps[-1] - stamps[-2] if len(stamps) > 1 else stamps[0] + 1]
        frames = [
            {"pts": start, "duration": end - start, "key_frame": int(start == stamps[0])}
            for start, end in zip(stamps, ends, strict=True)
        ]
        return json.dumps({"frames": frames})

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """See FrameReader."""
        check_indices(indices, self.num_frames)
        wanted = sorted({index + self.first for index in indices})
        try:
            frames = self._video.get_frames_at(wanted).data.numpy()
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._refused("failed", error) from error
        place = {index: number for number, index in enumerate(wanted)}
        return np.asarray(frames[[place[index + self.first] for index in indices]])

    def _refused(self, what: str, error: Exception) -> DecoderRefused:
        return DecoderRefused(self.path, f"torchcodec {what}: {str(error).splitlines()[-1][:120]}")

    def close(self) -> None:
        """Free the decoder."""
        del self._video
