"""Room for the pictures of long videos: beyond half a gigabyte in a temporary file, not in memory.

The system pages the file in and out as it is used, so that an hour of video needs disk alone.
"""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SPILL_BYTES = 2**29


def room(num_bytes: int) -> bytearray | mmap.mmap:
    """So many bytes to write to; in memory if they are few, or if there is no disk for them."""
    if num_bytes > SPILL_BYTES:
        with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would be met in writing, fatally
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            else:
                file.truncate(num_bytes)
            return mmap.mmap(file.fileno(), num_bytes)
    return bytearray(num_bytes)


class Gathered:
    """Frames of a video by number, each kept once, in the order in which they are shown.

    Args:
        numbers: of all that will come.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._place = {number: place for place, number in enumerate(sorted(numbers))}
        self._frames: NDArray[np.uint8] | None = None
        self._num_came = 0

    def __contains__(self, number: int) -> bool:
        return number in self._place

    @property
    def is_whole(self) -> bool:
        """Whether all have come."""
        return self._num_came == len(self._place)

    def add(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Keep one; all are of one shape."""
        if self._frames is None:
            shape = (len(self._place), *frame.shape)
            buffer = room(int(np.prod(shape)))
            self._frames = np.frombuffer(buffer, np.uint8).reshape(shape)
        self._frames[self._place[number]] = frame
        self._num_came += 1

    def in_order(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Frames as they are asked for; not copied where that is all of them in order."""
        assert self._frames is not None
        places = [self._place[number] for number in numbers]
        return self._frames if places == list(range(len(self._place))) else self._frames[places]
