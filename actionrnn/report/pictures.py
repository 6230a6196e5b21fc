"""Frames of clips as small pictures inside the page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.arrays import ARRAY_ENDINGS
from actionrnn.video.errors import VideoError
from actionrnn.video.reader import open_video, read_chosen
from actionrnn.video.sampling import sample_uniform

NUM_FRAMES = 4
WIDTH = 160


@dataclass(frozen=True)
class Places:
    """Where the videos of clips are: path, first and last second by `video_id`.

    Attributes:
        clips: empty where nothing is known.
        problem: why.
    """

    clips: dict[str, tuple[Path, float | None, float | None]]
    problem: str

    @classmethod
    def of(cls, root: Path | None) -> "Places":
        """Those of a prepared dataset; None is one that is not known."""
        if root is None:
            return cls({}, "the run does not say where its videos are")
        try:
            manifest = Manifest.load(root)
        except ManifestError:
            return cls({}, f"no dataset at {root}; give its folder with --data.root")
        seconds = [
            [None if np.isnan(value) else float(value) for value in manifest.table[name]]
            for name in ("start_seconds", "end_seconds")
        ]
        rows = zip(manifest.table["video_id"], manifest.video_paths(), *seconds, strict=True)
        return cls({str(name): (path, start, end) for name, path, start, end in rows}, "")

    def film_strip(
        self, video_id: str, num_frames: int = NUM_FRAMES, width: int = WIDTH
    ) -> tuple[list[str], str]:
        """Frames of a clip, see `film_strip`; or none, and why."""
        if video_id not in self.clips:
            return [], self.problem or "the manifest has no such clip any more"
        place = self.clips[video_id]
        if place[0].suffix in ARRAY_ENDINGS:
            return [], "it came as an array of features"
        try:
            return film_strip(*place, num_frames, width), ""
        except VideoError as error:
            return [], error.reason


def film_strip(
    path: Path,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    num_frames: int = NUM_FRAMES,
    width: int = WIDTH,
) -> list[str]:
    """Frames spread over a clip as small JPEG pictures, `data:` addresses for HTML.

    Raises:
        VideoError: if it cannot be read.
    """
    pictures_NHWC = frames_of(path, start_seconds, end_seconds, num_frames)
    return [_jpeg(picture, width) for picture in pictures_NHWC]


def frames_of(
    path: Path, start_seconds: float | None, end_seconds: float | None, num_frames: int
) -> NDArray[np.uint8]:
    """Frames spread over a clip, uint8 (N, H, W, 3); fewer where it has fewer.

    Raises:
        VideoError: if it cannot be read.
    """
    with open_video(path, "auto", start_seconds, end_seconds) as video:
        pictures_NHWC, _ = read_chosen(
            video, lambda: sorted(set(sample_uniform(video.num_frames, num_frames)))
        )
    return pictures_NHWC


def _jpeg(picture: Any, width: int) -> str:
    image = Image.fromarray(picture)
    image = image.resize((width, max(1, round(width * image.height / image.width))))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=78, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
