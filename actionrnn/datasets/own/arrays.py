"""Clips that are known by their features alone: arrays made elsewhere, one a clip."""

from collections.abc import Iterable
from pathlib import Path

from actionrnn.video.formats import VIDEO_ENDINGS

ARRAY_ENDINGS = (".npy", ".safetensors")


def array_names(clip: str) -> list[str]:
    """What the array of a clip may be called, the likeliest first.

    Of the clip `a/1.mp4` it is `a/1.mp4.npy` or `a/1.npy`; the clip `a/1.npy` is its own.
    """
    bare, dot, ending = clip.rpartition(".")
    is_ending = f"{dot}{ending}".lower() in VIDEO_ENDINGS.union(ARRAY_ENDINGS)
    stems = [clip, bare] if is_ending else [clip]
    own = [clip] if clip.endswith(ARRAY_ENDINGS) else []
    return own + [stem + each for stem in stems for each in ARRAY_ENDINGS]


def first_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of these files that is there."""
    return next((folder / name for name in names if (folder / name).is_file()), None)
