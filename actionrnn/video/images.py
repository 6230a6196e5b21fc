"""A folder of numbered pictures behind the FrameReader protocol (Jester and the like)."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps

from actionrnn.video.errors import VideoNotFound, VideoUnreadable
from actionrnn.video.formats import pictures_in
from actionrnn.video.index import check_indices, part
from actionrnn.video.reader import FrameReader, Shape, as_decoded

# Pictures carry no times. Jester and Something-Something v1 were cut at 12 a second.
DEFAULT_FPS = 12.0
_NUMBER = re.compile(r"(\d+)$")


class ImageFolderReader(FrameReader):
    """See FrameReader. Frames are the pictures in the order of the number that ends their name.

    Args:
        path: folder of pictures, all of one size.
        start_seconds, end_seconds: the part to read, at `DEFAULT_FPS` pictures a second.

    Raises:
        VideoNotFound: if it is no folder.
        VideoUnreadable: if it holds no pictures, or their names do not give an order.
    """

    name = "images"
    version = PIL.__version__

    def __init__(
        self, path: str, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        self.path = path
        self.fps = DEFAULT_FPS
        numbers, files, strays = numbered_images(path)
        times = np.arange(len(files)) / self.fps
        chosen = part(path, times, start_seconds, end_seconds)
        self._files = files[chosen]
        self.timestamps_seconds: NDArray[np.float64] = times[chosen]
        self.num_frames = len(self._files)
        gaps = numbers[-1] - numbers[0] + 1 - len(numbers)
        missing = (f"{gaps} pictures are missing in between",) * bool(gaps)
        left_out = tuple(f"{file.name} is no frame: it has no number" for file in strays[:3])
        self.warnings: tuple[str, ...] = missing + left_out

    def read(self, indices: Sequence[int], shape: Shape = as_decoded) -> NDArray[np.uint8]:
        """See FrameReader."""
        check_indices(indices, self.num_frames)
        sizes, frames = set(), {}
        for index in sorted(set(indices)):
            picture = self._picture(self._files[index])
            sizes.add(picture.shape)
            frames[index] = shape(picture)
        if len(sizes) > 1:
            raise VideoUnreadable(self.path, f"its pictures differ in size: {sorted(sizes)}")
        return np.stack([frames[index] for index in indices])

    def _picture(self, file: Path) -> NDArray[np.uint8]:
        try:
            with Image.open(file) as image:
                return _rgb(ImageOps.exif_transpose(image))
        except (OSError, SyntaxError, ValueError) as error:
            why = f": {error}" if isinstance(error, ValueError) else ""
            raise VideoUnreadable(self.path, f"{file.name} is no readable picture{why}") from error

    def close(self) -> None:
        """Nothing is held open between two reads."""


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels uint8 (H, W, 3); of 16 bits the upper 8 are kept, what is transparent is on black.

    Raises:
        ValueError: for pixels without a fixed range.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.mode.startswith("I"):  # one channel of 16 bits; Pillow would cut off at 255
        deep = np.asarray(image)
        if deep.min() < 0 or deep.max() > 0xFFFF:
            raise ValueError("pixels of 32 bits have no fixed range")
        return np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        black = Image.new("RGBA", pixels.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, pixels)
    return np.array(image.convert("RGB"))  # a copy that may be written to, which torch asks for


def numbered_images(path: str | os.PathLike[str]) -> tuple[list[int], list[Path], list[Path]]:
    """The numbers and files of a folder's frames, in order, and pictures that are none.

    Hidden files, thumbnails and, beside numbered pictures, those without a number are no frames.

    Raises:
        VideoNotFound, VideoUnreadable: see ImageFolderReader.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise VideoNotFound(str(path), "there is no such folder")
    pictures = pictures_in(folder)
    files = [file for file in pictures if "thumb" not in file.name.lower()] or pictures
    if not files:
        raise VideoUnreadable(str(path), "the folder holds no pictures")
    numbers = {file: _NUMBER.search(file.stem) for file in files}
    strays = [file for file, number in numbers.items() if not number]
    if len(strays) == len(files):
        raise VideoUnreadable(str(path), f"{strays[0].name} has no number at its end")
    numbered: dict[int, Path] = {}
    for file, number in numbers.items():
        if number and (other := numbered.setdefault(int(number[1]), file)) is not file:
            raise VideoUnreadable(str(path), f"{other.name} and {file.name} have the same number")
    order = sorted(numbered)
    return order, [numbered[number] for number in order], strays
