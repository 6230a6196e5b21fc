"""`--features.transform.size native`: pictures of about the videos' own size."""

import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features.spec import FeatureSettings, is_imported
from actionrnn.places import at_hand, is_remote
from actionrnn.video.errors import VideoError
from actionrnn.video.probe import open_container, video_stream

NATIVE_SIDES = tuple(range(225, 578, 64))
"""32 k + 1: networks that halve five times pad all sides alike. Few, so that a clip more or less
seldom changes features; the largest costs 6 times the smallest."""
LOOKED_AT = 101  # videos, evenly over the manifest


def with_native_size(settings: FeatureSettings, manifest: Manifest) -> FeatureSettings:
    """The settings with the side of the pictures as a number, where they say `native`.

    It is the one of `NATIVE_SIDES` that is nearest to the square root of the videos' usual area
    (median over the manifest), so that people are neither blown up nor shrunk away: on two real
    sets larger and smaller pictures cost 3 to 10 points of accuracy (README, few clips).

    Raises:
        ActionRNNError: if no video can be opened.
    """
    if settings.transform.size != "native" or is_imported(settings.backbone.name):
        return settings
    paths = manifest.video_paths()
    sides = list(_sides(paths[:: max(1, len(paths) // LOOKED_AT)]))
    if not sides:
        raise ActionRNNError(
            f"--features.transform.size native needs the videos of {manifest.root}, and none can "
            f"be opened; give a number of pixels, such as 224"
        )
    usual = statistics.median(sides)
    side = min(NATIVE_SIDES, key=lambda each: abs(each - usual))
    return replace(settings, transform=replace(settings.transform, size=side))


def _sides(paths: list[Path]) -> Iterator[float]:
    """Square roots of areas in pixels, from headers alone; of what cannot be opened none."""
    for path in paths:
        try:
            if not is_remote(path) and path.is_dir():
                width, height = _picture_size(path)
            else:
                with at_hand(path) as file, open_container(str(file)) as container:
                    stream = video_stream(container)
                    width, height = stream.width, stream.height
        except (VideoError, OSError, UnidentifiedImageError):
            continue  # extraction counts and names them
        if width and height:
            yield (width * height) ** 0.5


def _picture_size(folder: Path) -> tuple[int, int]:
    first = min(folder.iterdir(), default=None)
    if first is None:
        return 0, 0
    with Image.open(first) as picture:
        return picture.size
