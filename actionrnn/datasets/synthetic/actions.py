"""The pictures of the synthetic dataset: backgrounds, clutter and five reversible actions.

Every action is a drawing that depends on one number, the pose, from 0 to 1. Running the pose up
is one class and running it down is its partner, so both have the same set of pictures. What the
pose changes is area, colour and shape, not only place, because features that are averaged over
the whole picture forget places.
"""

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

# Pictures are drawn this many times larger and averaged down: smooth edges, smooth motion.
SUPERSAMPLE = 3
BACKGROUNDS = (
    "plaster", "stripes", "tiles", "bricks", "polka", "planks", "meadow", "snow",
    "zigzag", "rings",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colours and proportions that stay fixed through a clip; all numbers are in [0, 1].

    Attributes:
        wall_hue, wall_light, wall_saturation: of the background.
        hue: of the acting object (door, liquid, petals, balloon, shirt).
        second_hue: of its companion (chair, pot, straw, trousers).
        build: body proportions and the number of petals.
        skin: from pale to dark.
    """

    wall_hue: float
    wall_light: float
    wall_saturation: float
    hue: float
    second_hue: float
    build: float
    skin: float


def hls(hue: float, light: float, saturation: float) -> Color:
    """8-bit RGB of hue, lightness and saturation in [0, 1]; hue wraps around."""
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, min(max(light, 0.0), 1.0), saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def _mix(low: float, high: float, pose: float) -> float:
    return low + (high - low) * pose


class Pen:
    """Draws in stage units: x right and y down, both -1 to 1 across an object of full size.

    Args:
        image: what to draw on.
        centre: stage origin in pixels of the image.
        unit: pixels per stage unit.
        mirror: swap left and right.
    """

    def __init__(self, image: Image.Image, centre: Point, unit: float, mirror: bool) -> None:
        self._draw = ImageDraw.Draw(image)
        self._centre, self._unit = centre, unit
        self._side = -1.0 if mirror else 1.0

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        (cx, cy), unit, side = self._centre, self._unit, self._side
        return [(cx + side * unit * x, cy + unit * y) for x, y in points]

    def polygon(self, points: Sequence[Point], fill: Color) -> None:
        """A filled polygon."""
        self._draw.polygon(self._pixels(points), fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """A filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def ellipse(
        self, centre: Point, radius_x: float, radius_y: float, fill: Color, turn: float = 0.0
    ) -> None:
        """A filled ellipse whose x axis is turned by `turn` radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        points = [
            (
                centre[0] + radius_x * c * cos - radius_y * s * sin,
                centre[1] + radius_x * c * sin + radius_y * s * cos,
            )
            for c, s in _CIRCLE
        ]
        self.polygon(points, fill)

    def limb(self, points: Sequence[Point], width: float, fill: Color) -> None:
        """A thick line with round joints and ends."""
        pixels = self._pixels(points)
        radius = 0.5 * width * self._unit
        self._draw.line(pixels, fill=fill, width=max(1, round(2 * radius)))
        for x, y in pixels:
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


_CIRCLE = [(math.cos(a), math.sin(a)) for a in np.linspace(0.0, 2.0 * math.pi, 28, endpoint=False)]


def _person(pen: Pen, pose: float, look: Look) -> None:
    """Pose 0 stands before a chair, 1 sits on it."""
    chair, dark = hls(look.second_hue, 0.55, 0.75), hls(look.second_hue, 0.3, 0.6)
    skin = hls(0.07, _mix(0.8, 0.35, look.skin), 0.5)
    shirt, trousers = hls(look.hue, 0.5, 0.7), hls(look.second_hue + 0.45, 0.25, 0.5)
    # An armchair: its broad back and seat disappear behind who sits down.
    pen.box(-0.72, 0.7, -0.62, 0.95, dark)
    pen.box(-0.1, 0.7, 0.0, 0.95, dark)
    pen.limb([(-0.6, -0.22), (-0.56, 0.55)], 0.2, dark)
    pen.box(-0.56, -0.22, -0.24, 0.5, chair)
    pen.box(-0.7, 0.42, 0.06, 0.74, chair)
    pen.box(-0.7, 0.66, 0.06, 0.74, dark)

    swing = math.sin(math.pi * pose)
    torso, thick = _mix(0.5, 0.6, look.build), _mix(0.9, 1.3, look.build)
    shin, thigh = math.radians(4 + 4 * pose + 14 * swing), math.radians(_mix(3, 88, pose))
    lean = math.radians(_mix(2, -4, pose) + 38 * swing)
    ankle = (0.1, 0.9)
    knee = (ankle[0] + 0.42 * math.sin(shin), ankle[1] - 0.42 * math.cos(shin))
    hip = (knee[0] - 0.44 * math.sin(thigh), knee[1] - 0.44 * math.cos(thigh))
    shoulder = (hip[0] + torso * math.sin(lean), hip[1] - torso * math.cos(lean))
    head = (shoulder[0] + 0.24 * math.sin(lean), shoulder[1] - 0.24 * math.cos(lean))
    upper, fore = math.radians(_mix(-6, 22, pose) + 40 * swing), math.radians(_mix(6, 75, pose))
    elbow = (shoulder[0] + 0.28 * math.sin(upper), shoulder[1] + 0.28 * math.cos(upper))
    hand = (elbow[0] + 0.26 * math.sin(fore), elbow[1] + 0.26 * math.cos(fore))

    pen.limb([ankle, (ankle[0] + 0.16, ankle[1] + 0.02)], 0.1, hls(look.hue + 0.5, 0.15, 0.3))
    pen.limb([ankle, knee, hip], 0.2 * thick, trousers)
    pen.limb([hip, shoulder], 0.3 * thick, shirt)
    pen.ellipse(head, 0.17, 0.19, skin)
    pen.ellipse((head[0] - 0.05, head[1] - 0.08), 0.16, 0.13, hls(0.08, 0.15, 0.5))
    pen.limb([shoulder, elbow], 0.14 * thick, hls(look.hue, 0.38, 0.7))
    pen.limb([elbow, hand], 0.11 * thick, skin)


def _door(pen: Pen, pose: float, look: Look) -> None:
    """Pose 0 is a closed door, 1 is open and shows the lit room behind."""
    frame, leaf = hls(look.second_hue, 0.88, 0.3), hls(look.hue, 0.32, 0.6)
    pen.box(-0.68, -0.98, 0.68, 0.98, frame)
    pen.box(-0.56, -0.86, 0.56, 0.98, (255, 232, 160))
    pen.box(-0.56, 0.5, 0.56, 0.98, (205, 150, 90))
    pen.box(0.0, -0.5, 0.4, -0.05, (140, 205, 250))
    pen.limb([(0.2, -0.5), (0.2, -0.05)], 0.04, (250, 250, 250))
    angle = math.radians(82 * pose)
    edge, inset = -0.56 + 1.12 * math.cos(angle), 0.22 * math.sin(angle)

    def at(x: float, y: float) -> Point:
        """Point of the leaf, x from hinge to edge and y from top to bottom, both 0 to 1."""
        top, bottom = -0.86 + inset * x, 0.98 - 1.2 * inset * x
        return (-0.56 + (edge + 0.56) * x, top + (bottom - top) * y)

    def panel(x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        pen.polygon([at(x0, y0), at(x1, y0), at(x1, y1), at(x0, y1)], fill)

    panel(0, 0, 1, 1, leaf)
    for y0, y1 in ((0.07, 0.45), (0.56, 0.93)):
        panel(0.14, y0, 0.86, y1, hls(look.hue, 0.22, 0.6))
        panel(0.2, y0 + 0.03, 0.8, y1 - 0.03, hls(look.hue, 0.4, 0.6))
    pen.ellipse(at(0.92, 0.5), 0.05, 0.05, (240, 205, 70))


def _glass(pen: Pen, pose: float, look: Look) -> None:
    """Pose 0 is an empty glass with a straw, 1 is full."""

    def half_width(y: float) -> float:
        return _mix(0.36, 0.56, (0.85 - y) / 1.6)

    def tumbler(top: float, bottom: float, inner: float, fill: Color) -> None:
        a, b = half_width(top) - inner, half_width(bottom) - inner
        pen.polygon([(-a, top), (a, top), (b, bottom), (-b, bottom)], fill)

    pen.box(-0.95, 0.86, 0.95, 1.0, hls(look.second_hue, 0.3, 0.4))
    tumbler(-0.75, 0.9, -0.05, (225, 235, 240))
    tumbler(-0.75, 0.8, 0.02, (150, 165, 175))
    level = _mix(0.76, -0.6, pose)
    pen.limb([(0.5, -1.0), (-0.12, 0.72)], 0.08, hls(look.second_hue, 0.6, 0.8))
    width = half_width(level) - 0.02
    tumbler(level, 0.8, 0.02, hls(look.hue, 0.48, 0.75))
    pen.ellipse((0.0, level), width, 0.07, hls(look.hue, 0.72, 0.75))
    pen.limb([(-0.42, -0.6), (-0.3, 0.6)], 0.05, (245, 250, 252))


def _flower(pen: Pen, pose: float, look: Look) -> None:
    """Pose 0 is a drooping closed flower, 1 is upright in full bloom."""
    green = hls(0.31, 0.3, 0.6)
    root, head = (0.0, 0.7), (_mix(0.42, 0.0, pose), _mix(0.2, -0.26, pose))
    bend = (_mix(-0.1, 0.0, pose), _mix(-0.55, -0.1, pose))
    stem = []
    for t in np.linspace(0.0, 1.0, 9).tolist():
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        stem.append((
            a * root[0] + b * bend[0] + c * head[0], a * root[1] + b * bend[1] + c * head[1]
        ))  # fmt: skip
    pen.limb(stem, 0.07, green)
    for side in (-1.0, 1.0):
        droop = math.radians(_mix(50, -28, pose))
        tip = (side * 0.26 * math.cos(droop), 0.52 + 0.26 * math.sin(droop))
        pen.ellipse(tip, 0.27, 0.09, green, turn=side * droop)
    pot = hls(look.second_hue, 0.45, 0.6)
    pen.polygon([(-0.32, 0.62), (0.32, 0.62), (0.22, 1.0), (-0.22, 1.0)], pot)
    pen.box(-0.37, 0.56, 0.37, 0.68, hls(look.second_hue, 0.55, 0.6))

    facing, spread = math.radians(_mix(75, -90, pose)), _mix(0.5, math.pi, pose)
    count, length = 7 + round(4 * look.build), _mix(0.16, 0.33, pose)
    for k in range(count):
        angle = facing + spread * (2 * (k + 0.5) / count - 1)
        x, y = head[0] + length * math.cos(angle), head[1] + length * math.sin(angle)
        shade = _mix(0.36, 0.6, pose) + 0.05 * (k % 2)
        petal = hls(look.hue, shade, _mix(0.35, 0.8, pose))
        pen.ellipse((x, y), 1.15 * length, _mix(0.08, 0.17, pose), petal, turn=angle)
    pen.ellipse(head, _mix(0.08, 0.19, pose), _mix(0.08, 0.19, pose), (250, 205, 40))


def _balloon(pen: Pen, pose: float, look: Look) -> None:
    """Pose 0 is a small limp balloon on a bottle, 1 is fully blown up."""
    radius = _mix(0.13, 0.6, pose)
    tall = radius * _mix(1.5, 1.12, pose)
    mouth = 0.42
    pen.polygon([(-0.1, 0.45), (0.1, 0.45), (0.32, 0.72), (0.32, 1.0), (-0.32, 1.0),
                 (-0.32, 0.72)], hls(look.second_hue, 0.4, 0.5))  # fmt: skip
    pen.box(-0.13, mouth, 0.13, 0.52, hls(look.second_hue, 0.6, 0.5))
    rubber = hls(look.hue, _mix(0.3, 0.58, pose), 0.75)
    centre = (0.0, mouth - tall)
    pen.polygon([(-0.1, mouth + 0.03), (0.1, mouth + 0.03), (0.5 * radius, centre[1]),
                 (-0.5 * radius, centre[1])], rubber)  # fmt: skip
    pen.ellipse(centre, radius, tall, rubber)
    shine = hls(look.hue, _mix(0.4, 0.85, pose), 0.9)
    pen.ellipse((-0.4 * radius, centre[1] - 0.4 * tall), 0.2 * radius, 0.28 * tall, shine, 0.5)


@dataclass(frozen=True)
class ActionPair:
    """Two classes that are each other's time reversal.

    Attributes:
        rising: class in which the pose goes from 0 to 1.
        falling: class in which it goes from 1 to 0.
        draw: draws the object at a pose.
    """

    rising: str
    falling: str
    draw: Callable[[Pen, float, Look], None]


PAIRS = (
    ActionPair("sit_down", "stand_up", _person),
    ActionPair("open_door", "close_door", _door),
    ActionPair("fill_glass", "empty_glass", _glass),
    ActionPair("bloom", "wilt", _flower),
    ActionPair("inflate", "deflate", _balloon),
)


def draw_background(name: str, look: Look, size: int, rng: np.random.Generator) -> Image.Image:
    """One of `BACKGROUNDS` as a square of `size` pixels; `rng` shifts its pattern."""
    light, saturation = look.wall_light, look.wall_saturation
    wall, mark = (hls(look.wall_hue, light - dark, saturation) for dark in (0.0, 0.08))
    image = Image.new("RGB", (size, size), wall)
    draw = ImageDraw.Draw(image)
    cell = size / 8
    shift_x, shift_y = rng.random(2) * cell
    steps = np.arange(-2, 11)
    if name == "stripes":
        for k in steps[::2]:
            x = shift_x + k * cell
            draw.rectangle((x, 0, x + cell, size), fill=mark)
    elif name == "tiles":
        for k in steps:
            draw.line((0, shift_y + k * cell, size, shift_y + k * cell), mark, round(cell / 6))
            draw.line((shift_x + k * cell, 0, shift_x + k * cell, size), mark, round(cell / 6))
    elif name == "bricks":
        for row in steps:
            y = shift_y + row * cell / 1.5
            draw.line((0, y, size, y), mark, round(cell / 7))
            for k in steps:
                x = shift_x + (k + 0.5 * (row % 2)) * cell * 1.5
                draw.line((x, y, x, y + cell / 1.5), mark, round(cell / 7))
    elif name == "polka":
        for row in steps:
            for k in steps:
                x, y = shift_x + (k + 0.5 * (row % 2)) * cell, shift_y + row * cell
                draw.ellipse((x, y, x + 0.5 * cell, y + 0.5 * cell), fill=mark)
    elif name == "planks":
        for k in steps:
            y = shift_y + k * cell
            plank = hls(look.wall_hue, light - 0.05 * (k % 3), saturation)
            draw.rectangle((0, y, size, y + cell), fill=plank)
            draw.line((0, y, size, y), mark, max(1, round(cell / 10)))
    elif name == "meadow":
        horizon = 0.55 * size + shift_y
        for y in range(size):
            sky = hls(look.wall_hue, light + 0.1 * y / size, saturation)
            draw.line((0, y, size, y), fill=sky)
        draw.rectangle((0, horizon, size, size), fill=mark)
    elif name == "snow":
        flake = hls(look.wall_hue, light + 0.15, saturation)
        for x, y in rng.random((60, 2)) * size:
            draw.ellipse((x, y, x + cell / 5, y + cell / 5), fill=flake)
    elif name == "zigzag":
        for row in steps:
            y = shift_y + row * cell
            points = [(k * cell, y + (k % 2) * cell / 2) for k in range(-1, 11)]
            draw.line(points, mark, round(cell / 4))
    elif name == "rings":
        for k in range(14, 0, -1):
            radius = k * 0.7 * cell
            x, y = 0.5 * size + shift_x, 0.5 * size + shift_y
            draw.ellipse((x - radius, y - radius, x + radius, y + radius),
                         fill=mark if k % 2 else wall)  # fmt: skip
    elif name != "plaster":
        raise ValueError(f"unknown background {name!r}; one of {', '.join(BACKGROUNDS)}")
    return image
