"""Pixels in, squares out: sizes, views, and nearness to the exact antialiased result."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from actionrnn.video.transform import Transform


def smooth_frames(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (2, 3, 9, 16))).float()
    return F.resize(coarse, [height, width]).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [(240, 320), (720, 1280), (64, 48), (17, 300)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("spatial_views", [1, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_every_view_is_a_square(
    size: tuple[int, int], resize: str, spatial_views: int, flip: bool
) -> None:
    transform = Transform(32, resize, spatial_views=spatial_views, flip=flip)
    views = transform(smooth_frames(*size))
    assert views.shape == (transform.num_views, 2, 3, 32, 32)
    assert views.dtype == torch.uint8


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_pixels_are_within_two_levels_of_the_float_result(resize: str) -> None:
    frames = smooth_frames(360, 480)
    exact = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    if resize == "squash":
        expected = F.resize(exact, [224, 224], antialias=True)
    else:
        expected = F.center_crop(F.resize(exact, [256, 341], antialias=True), [224, 224])
    difference = (Transform(224, resize)(frames)[0].float() - expected).abs()
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


def test_views_show_the_start_the_centre_and_the_end() -> None:
    frames = np.zeros((1, 32, 96, 3), np.uint8)
    frames[:, :, :32], frames[:, :, 32:64], frames[:, :, 64:] = 10, 100, 200
    views = Transform(32, resize_to=32, spatial_views=3)(frames)
    assert [int(view[0, 0, 16, 16]) for view in views] == [10, 100, 200]


def test_a_flip_mirrors() -> None:
    frames = smooth_frames(48, 48)
    plain, mirrored = Transform(32, "squash", flip=True)(frames)
    assert torch.equal(plain.flip(-1), mirrored)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="resize_to 100 is smaller"):
        Transform(224, resize_to=100)
    with pytest.raises(ValueError, match="must be positive"):
        Transform(0)
