"""Frames of any size become the uint8 picture the backbone takes; normalising is the backbone's."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

Interpolation = Literal["bilinear", "bicubic"]
USUAL_SIDE = 224  # of ImageNet networks


@dataclass(frozen=True)
class Transform:
    """Resize and crop, in uint8 and antialiased.

    Args:
        size: side of the square picture, in pixels; null is what the backbone's weights were
            trained on (224 where they do not say, and without a backbone); `native` is about that
            of the dataset's videos (see `features.native_size`).
        resize: `crop` keeps the aspect ratio: the shorter side becomes `resize_to`, then a
            square is cut out; `squash` shows the whole frame, distorted to a square.
        resize_to: shorter side before the crop; null is 256/224 of `size`.
        spatial_views: squares cut out: 1 (centre) or 3 (start, centre, end of the longer side).
        flip: add every view mirrored left to right.
        interpolation: between pixels; null is what the backbone's weights were trained with
            (`bilinear` where they do not say).

    Raises:
        ValueError: if `resize_to` is smaller than `size`, or a size is not positive.
    """

    size: int | Literal["native"] | None = None
    resize: Literal["crop", "squash"] = "crop"
    resize_to: int | None = None
    spatial_views: Literal[1, 3] = 1
    flip: bool = False
    interpolation: Interpolation | None = None

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError(f"transform.size {self.size}: must be positive")
        if self.resize_to is not None and self.resize_to < self.side:
            raise ValueError(
                f"transform.resize_to {self.resize_to} is smaller than transform.size {self.side}"
            )

    @property
    def side(self) -> int:
        """Side of the square picture, in pixels."""
        return self.size if isinstance(self.size, int) else USUAL_SIDE

    @property
    def num_views(self) -> int:
        """Spatial views of a clip, S."""
        return (self.spatial_views if self.resize == "crop" else 1) * (2 if self.flip else 1)

    def __call__(self, frames: NDArray[np.uint8]) -> Tensor:
        """Frames uint8 (N, H, W, 3) become uint8 (S, N, 3, size, size)."""
        frames_NCHW = torch.from_numpy(frames).permute(0, 3, 1, 2)
        views = self._squares(frames_NCHW)
        if self.flip:
            views += [view.flip(-1) for view in views]
        return torch.stack(views).contiguous()

    def _squares(self, frames_NCHW: Tensor) -> list[Tensor]:
        if self.resize == "squash":
            return [self._resized(frames_NCHW, [self.side, self.side])]
        height, width = frames_NCHW.shape[-2:]
        shorter = self.resize_to or round(self.side * 256 / 224)
        scale = shorter / min(height, width)
        new = [max(self.side, round(height * scale)), max(self.side, round(width * scale))]
        resized = self._resized(frames_NCHW, new)
        top, left = (new[0] - self.side) // 2, (new[1] - self.side) // 2
        if self.spatial_views == 1:
            corners = [(top, left)]
        elif new[1] >= new[0]:
            corners = [(top, x) for x in (0, left, new[1] - self.side)]
        else:
            corners = [(y, left) for y in (0, top, new[0] - self.side)]
        return [resized[..., y : y + self.side, x : x + self.side] for y, x in corners]

    def _resized(self, frames_NCHW: Tensor, size: list[int]) -> Tensor:
        """Antialiased, in uint8: the fast kernel for pictures whose channels lie together."""
        mode = self.interpolation or "bilinear"
        return interpolate(frames_NCHW, size, mode=mode, antialias=True)
