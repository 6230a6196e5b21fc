"""Clips that are known by their features alone: arrays made elsewhere, one a clip."""

from pathlib import Path

ARRAY_ENDINGS = (".npy", ".safetensors")


def array_of(folder: Path, path: str, video_id: str) -> Path:
    """The array of a clip; the first name tried where there is none.

    Args:
        folder: with all of them.
        path: the clip's name, such as `a/1`, `a/1.mp4` or `a/1.npy`.
        video_id: the same, or with a segment's seconds behind it; then this alone counts.
    """
    stems = [video_id] if video_id != path else [path, str(Path(path).with_suffix(""))]
    names = [f"{stem}{ending}" for stem in stems for ending in ARRAY_ENDINGS]
    if path.endswith(ARRAY_ENDINGS):
        names.insert(0, path)
    places = [folder / name for name in names]
    return next((place for place in places if place.is_file()), places[0])
