"""How a camera was held: the display matrix that turns and mirrors coded pictures upright."""

import re
import struct
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

# (a, b, c, d): a coded pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
Orientation = tuple[int, int, int, int]
AS_CODED: Orientation = (1, 0, 0, 1)
TURNED: tuple[Orientation, ...] = (AS_CODED, (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """The nearest of the eight ways to turn and mirror a picture in steps of 90 degrees.

    A matrix without a meaning (zeros, as broken files hold) leaves the picture as it is coded.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return AS_CODED
    a, b, _, c, d = struct.unpack("=5i", memoryview(cast(bytes, data))[:20])
    return nearest(a, b, c, d)


def nearest(a: int, b: int, c: int, d: int) -> Orientation:
    """The orientation that a matrix (a, b; c, d) comes nearest to."""
    plain = abs(a) + abs(d) >= abs(b) + abs(c)
    a, b, c, d = (0 if x == 0 else x // abs(x) for x in (a, b, c, d))
    if plain:
        return (a, 0, 0, d) if a and d else AS_CODED
    return (0, b, c, 0) if b and c else AS_CODED


def mp4_orientations(index: bytes) -> set[Orientation]:
    """Those of all tracks, from the `moov` box of an MP4."""
    found = set()
    for match in re.finditer(rb"tkhd([\0\1])", index):
        matrix = match.start() + (44 if match[1] == b"\0" else 56)
        a, b, _, c, d = struct.unpack(">5i", index[matrix : matrix + 20].ljust(20, b"\0"))
        found.add(nearest(a, b, c, d))
    return found


def upright(pixels: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """A coded picture (H, W, 3) as it is to be shown."""
    a, b, c, d = orientation
    if a:
        return np.ascontiguousarray(pixels[::d, ::a])
    return np.ascontiguousarray(pixels.swapaxes(0, 1)[::b, ::c])
