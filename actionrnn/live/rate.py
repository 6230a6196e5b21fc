"""At which rate a head wants the frames of a stream: that of the clips it was trained on."""

from pathlib import Path
from typing import Any

import numpy as np

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import UsageError
from actionrnn.progress import tell
from actionrnn.video.errors import VideoError
from actionrnn.video.index import index_frames
from actionrnn.video.sampling import Sampling, sample_uniform

_CLIPS_LOOKED_AT = 32


def sampling_rate(
    sampling: Sampling, source_fps: float, data: dict[str, Any], fps: float | None = None
) -> float:
    """Frames per second that a head gets.

    Sampling at `fps` has a rate; `dense` has that of the source, divided. `uniform` spreads its
    frames over clips of any length: their median length, of the training clips where they still
    are, makes a rate of it, and that is said.

    Args:
        sampling: of the training.
        source_fps: frames per second of the source.
        data: a checkpoint's settings of its data.
        fps: the user's own choice.

    Raises:
        UsageError: if it is not positive, or must be given.
    """
    if fps is not None:
        if not 0 < fps < float("inf"):
            raise UsageError(f"--fps {fps}: must be positive")
        return fps
    if sampling.mode == "fps":
        return sampling.fps
    if sampling.mode == "dense":
        return source_fps / sampling.frame_interval
    seconds = _clip_seconds(data)
    if seconds is None:
        raise UsageError(
            f"the head was trained on {sampling.num_frames} frames spread over each clip, which "
            f"is no rate, and its clips are not at {data.get('root')} any more: give --fps, "
            f"{sampling.num_frames} divided by the usual length of a clip in seconds"
        )
    rate = sampling.num_frames / seconds
    tell(
        f"rate: {rate:.3g} frames per second, for {sampling.num_frames} were spread over each "
        f"training clip and half of those are longer than {seconds:.3g} s (--fps sets another)"
    )
    return rate


def _clip_seconds(data: dict[str, Any]) -> float | None:
    """Median length of some training clips; None where they cannot be read."""
    try:
        manifest = Manifest.load(data["root"])
        clips = manifest.split(data["split"], "train")
    except (ManifestError, ValueError, OSError, KeyError):
        return None
    found = []
    paths = clips.video_paths()
    bounds = clips.table[["start_seconds", "end_seconds"]].to_numpy(dtype=float)
    for row in sorted(set(sample_uniform(len(paths), _CLIPS_LOOKED_AT))) if paths else []:
        seconds = float(bounds[row, 1] - bounds[row, 0])
        found.append(seconds if np.isfinite(seconds) else _file_seconds(paths[row]))
    known = [seconds for seconds in found if seconds]
    return float(np.median(known)) if known else None


def _file_seconds(path: Path) -> float:
    """Length of a file; 0 if it cannot be read."""
    try:
        found = index_frames(str(path))
    except VideoError:
        return 0.0
    return float(found.timestamps_seconds[-1]) + 1 / found.fps
