"""Words on pictures: the surest classes, and the events that last."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from actionrnn.errors import shown
from actionrnn.live.events import Event
from actionrnn.live.watch import Scored

MAX_CLASSES = 3
LINE_HEIGHT, FONT_SIZE = 20, 15
# Pictures that are lower are enlarged: words need room.
LEAST_HEIGHT = 240
QUIET, LOUD = "#333333", "#c0182d"


class Line(NamedTuple):
    """A line of words and its colour."""

    text: str
    color: str


def with_lines(picture_HWC: NDArray[np.uint8], lines: Sequence[Line]) -> NDArray[np.uint8]:
    """The picture with lines of words on a bright strip at its lower edge."""
    image = Image.fromarray(picture_HWC)
    draw = ImageDraw.Draw(image, "RGBA")
    top = image.height - LINE_HEIGHT * len(lines) - 4
    draw.rectangle((0, top, image.width, image.height), fill=(255, 255, 255, 200))
    for row, (text, color) in enumerate(lines):
        draw.text((6, top + 3 + LINE_HEIGHT * row), text, fill=color, font_size=FONT_SIZE)
    return np.asarray(image)


def enlarged(picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at a whole multiple of its size with room for words, both sides even."""
    times = -(-LEAST_HEIGHT // picture_HWC.shape[0])
    if times > 1:
        picture_HWC = picture_HWC.repeat(times, axis=0).repeat(times, axis=1)
    return even(picture_HWC)


def even(picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture without a last row or column that H.264 cannot hold."""
    height, width = picture_HWC.shape[:2]
    return picture_HWC[: height // 2 * 2, : width // 2 * 2]


def jpeg(picture_HWC: NDArray[np.uint8], quality: int) -> bytes:
    """The picture as a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(picture_HWC).save(content, "JPEG", quality=quality)
    return content.getvalue()


class Caption:
    """What is said of the moment that was scored last.

    Args:
        class_names: in the order of the scores.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = class_names
        self._lasting: set[str] = set()
        self.lines: list[Line] = []

    def judge(self, scored: Scored, events: Sequence[Event]) -> None:
        """The scores of a moment, and what began or ended with it."""
        for event in events:
            change = self._lasting.add if event.kind == "begin" else self._lasting.discard
            change(event.segment.label)
        best = np.argsort(-scored.probs_K, kind="stable")[:MAX_CLASSES]
        labels = [self._class_names[k] for k in best]
        labels += sorted(self._lasting.difference(labels))
        probs = dict(zip(self._class_names, scored.probs_K, strict=True))
        self.lines = [Line(f"{scored.seconds:.1f} s", QUIET)]
        for label in labels:
            lasts = label in self._lasting
            said = f"{probs[label]:4.0%}  {shown(label)[:30]}{'  (event)' if lasts else ''}"
            self.lines.append(Line(said, LOUD if lasts else QUIET))
