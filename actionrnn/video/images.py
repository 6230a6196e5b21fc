"""A folder of numbered pictures behind the FrameReader protocol (Jester and the like)."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from actionrnn.video.errors import VideoNotFound, VideoUnreadable
from actionrnn.video.formats import PICTURE_ENDINGS
from actionrnn.video.probe import part
from actionrnn.video.pyav import check_indices

# Pictures carry no times. Jester and Something-Something v1 were cut at 12 a second.
DEFAULT_FPS = 12.0
_NUMBER = re.compile(r"(\d+)$")


class ImageFolderReader:
    """See FrameReader. Frames are the pictures in the order of the number that ends their name.

    Args:
        path: folder of pictures, all of one size.
        start_seconds, end_seconds: the part to read, at `fps` pictures a second.
        fps: pictures per second.

    Raises:
        VideoNotFound: if it is no folder.
        VideoUnreadable: if it holds no pictures, or their names do not give an order.
    """

    name = "images"
    version = PIL.__version__

    def __init__(
        self,
        path: str,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        fps: float = DEFAULT_FPS,
    ) -> None:
        self.path = path
        self.fps = fps
        numbers, files = numbered_images(path)
        times = np.arange(len(files)) / fps
        chosen = part(path, times, start_seconds, end_seconds)
        self._files = files[chosen]
        self.timestamps_seconds: NDArray[np.float64] = times[chosen]
        self.num_frames = len(self._files)
        gaps = numbers[-1] - numbers[0] + 1 - len(numbers)
        self.warnings: tuple[str, ...] = (f"{gaps} pictures are missing in between",) * bool(gaps)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """See FrameReader."""
        check_indices(indices, self.num_frames)
        frames = {index: self._picture(self._files[index]) for index in sorted(set(indices))}
        shapes = {frame.shape for frame in frames.values()}
        if len(shapes) > 1:
            raise VideoUnreadable(self.path, f"its pictures differ in size: {sorted(shapes)}")
        return np.stack([frames[index] for index in indices])

    def _picture(self, file: Path) -> NDArray[np.uint8]:
        try:
            with Image.open(file) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise VideoUnreadable(self.path, f"{file.name} is no readable picture") from error

    def close(self) -> None:
        """Nothing is held open between two reads."""


def numbered_images(path: str | os.PathLike[str]) -> tuple[list[int], list[Path]]:
    """The pictures of a folder and their numbers, in order.

    Raises:
        VideoNotFound, VideoUnreadable: see ImageFolderReader.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise VideoNotFound(str(path), "there is no such folder")
    files = [file for file in folder.iterdir() if file.suffix.lower() in PICTURE_ENDINGS]
    if not files:
        raise VideoUnreadable(str(path), "the folder holds no pictures")
    numbered: dict[int, Path] = {}
    for file in sorted(files):
        number = _NUMBER.search(file.stem)
        if not number:
            raise VideoUnreadable(str(path), f"{file.name} has no number at its end")
        if int(number[1]) in numbered:
            other = numbered[int(number[1])].name
            raise VideoUnreadable(str(path), f"{other} and {file.name} have the same number")
        numbered[int(number[1])] = file
    order = sorted(numbered)
    return order, [numbered[number] for number in order]
