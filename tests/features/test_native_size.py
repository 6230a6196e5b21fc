"""`transform.size native`: one of a few sizes, near that of the videos, the same for all parts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features.extract import ensure_features
from actionrnn.features.native_size import NATIVE_SIDES, with_native_size
from actionrnn.features.spec import FeatureSettings
from actionrnn.video.transform import Transform
from actionrnn.video.writer import write_video

NATIVE = FeatureSettings(transform=Transform(size="native"))


def of_size(root: Path, *sizes: tuple[int, int]) -> Manifest:
    for number, (width, height) in enumerate(sizes):
        frames = np.zeros((2, height, width, 3), np.uint8)
        write_video(root / f"{number}.mp4", frames, fps=10)
    ids = [str(number) for number in range(len(sizes))]
    table = pd.DataFrame({"video_id": ids, "path": [f"{each}.mp4" for each in ids]})
    table = table.assign(label="a", group=ids, split1="train")
    return Manifest(root, table, ["a"])


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(64, 64)], 225),
        ([(320, 240)], 289),
        ([(480, 360)], 417),
        ([(64, 64), (320, 240), (1280, 720)], 289),
        ([(1920, 1080)], 545),
    ],
)
def test_it_is_the_side_nearest_to_the_usual_video(
    sizes: list[tuple[int, int]], side: int, tmp_path: Path
) -> None:
    found = with_native_size(NATIVE, of_size(tmp_path, *sizes))
    assert found.transform.size == side
    assert side in NATIVE_SIDES
    assert replace(found, transform=NATIVE.transform) == NATIVE


def test_a_number_stays_and_broken_videos_are_left_to_the_extraction(tmp_path: Path) -> None:
    manifest = of_size(tmp_path, (320, 240), (320, 240))
    (tmp_path / "0.mp4").write_bytes(b"no video")
    assert with_native_size(NATIVE, manifest).transform.size == 289
    assert with_native_size(FeatureSettings(), manifest) == FeatureSettings()
    (tmp_path / "1.mp4").unlink()
    imported = replace(NATIVE, backbone=replace(NATIVE.backbone, name="import:mine"))
    assert with_native_size(imported, manifest) == imported
    with pytest.raises(ActionRNNError, match=r"none can be opened; give a number of pixels"):
        with_native_size(NATIVE, manifest)


def test_folders_of_pictures_have_a_size_too(tmp_path: Path) -> None:
    manifest = of_size(tmp_path, (320, 240))
    (tmp_path / "0.mp4").unlink()
    (tmp_path / "0.mp4").mkdir()
    Image.new("RGB", (640, 360)).save(tmp_path / "0.mp4" / "00001.jpg")
    assert with_native_size(NATIVE, manifest).transform.size == 481


def test_the_store_says_the_number(copied: Callable[[slice], Manifest], tmp_path: Path) -> None:
    settings = FeatureSettings(
        backbone=replace(FeatureSettings().backbone, name="squeezenet1_1", weights="random"),
        transform=Transform(size="native"),
    )
    store = ensure_features(copied(slice(0, 2)), settings, tmp_path / "f", progress=False)
    assert store.spec.settings.transform.size == 225
