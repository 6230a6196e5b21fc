"""Resizing and cropping as tensor arithmetic, so that a graph takes frames of any size.

The same weights as torch's antialiased resizing of bytes: computed in float64, rounded to
16-bit integers, the picture rounded to bytes between its two passes (measured: the same bytes, but
for one value in 10,000, by one, where 720p becomes 64 x 64).
"""

import math

import torch
from torch import Tensor, nn

from actionrnn.video.transform import Transform

# torch keeps weights as integers below 2^15, with at most 22 binary places.
_LARGEST_WEIGHT, _MOST_PLACES = 2**15 - 0.5, 22


class Pictures(nn.Module):
    """`Transform` in a graph: uint8 frames (N, H, W, 3) to pictures (S, N, 3, side, side).

    The pictures are whole numbers 0..255 as float32.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        """Every spatial view of every frame."""
        size = [torch.scalar_tensor(side, dtype=torch.float64) for side in frames_NHWC.shape[1:3]]
        new = self._new_size(size)
        planes_NCHW = frames_NHWC.permute(0, 3, 1, 2).to(torch.float32)
        views = []
        for corner in self._corners(new):
            rows_SH, columns_SW = (
                self._weights(old, target, first, number)
                for old, target, first, number in zip(
                    size, new, corner, planes_NCHW.shape[2:], strict=True
                )
            )
            narrow_NCHS = _to_bytes(planes_NCHW @ columns_SW.T)
            views.append(_to_bytes(rows_SH @ narrow_NCHS))
        if self.transform.flip:
            views += [view.flip(-1) for view in views]
        return torch.stack(views)

    def _new_size(self, size: list[Tensor]) -> list[Tensor]:
        """Height and width after resizing, before the crop; see `Transform`."""
        side = self.transform.side
        if self.transform.resize == "squash":
            return [torch.full_like(each, side) for each in size]
        shorter = self.transform.resize_to or round(side * 256 / 224)
        scale = shorter / torch.minimum(*size)
        return [(each * scale).round().clamp(min=side) for each in size]

    def _corners(self, new: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """First row and column of every square cut out."""
        last = [each - self.transform.side for each in new]
        middle = [(each / 2).floor() for each in last]
        if self.transform.resize == "squash" or self.transform.spatial_views == 1:
            return [(middle[0], middle[1])]
        wide = new[1] >= new[0]
        rows = [torch.where(wide, middle[0], row) for row in (middle[0] * 0, middle[0], last[0])]
        columns = [torch.where(wide, x, middle[1]) for x in (middle[1] * 0, middle[1], last[1])]
        return list(zip(rows, columns, strict=True))

    def _weights(self, old: Tensor, new: Tensor, first: Tensor, number: int) -> Tensor:
        """Share of each old pixel in each new one of the crop, float32 (side, old)."""
        scale = old / new
        reach = scale.clamp(min=1)
        # The first of all comes along: cut off by the edge, it has the largest weights.
        wanted = torch.cat(
            [first.reshape(1) * 0, first + torch.arange(self.transform.side, dtype=torch.float64)]
        )
        centres = ((wanted + 0.5) * scale)[:, None]
        pixels = torch.arange(number, dtype=torch.float64) + 0.5
        distance = (pixels - centres).abs() / reach
        kernel = _cubic if self.transform.interpolation == "bicubic" else _triangle
        share = kernel(distance)
        share = share / share.sum(dim=1, keepdim=True)
        places = ((_LARGEST_WEIGHT / share.max()).log() / math.log(2)).ceil() - 1
        unit = 2 ** places.clamp(max=_MOST_PLACES)
        return ((share[1:] * unit + 0.5).floor() / unit).to(torch.float32)


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp(min=0)


def _cubic(distance: Tensor) -> Tensor:
    """Keys (1981) with a = -0.5, as torch has it where it resizes without aliasing."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def _to_bytes(values: Tensor) -> Tensor:
    return (values + 0.5).floor().clamp(0, 255)
