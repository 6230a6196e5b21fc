"""One take of the synthetic dataset: everything that is not the class, drawn once and filmed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionrnn.datasets.synthetic.actions import (
    BACKGROUNDS,
    SUPERSAMPLE,
    ActionPair,
    Look,
    Pen,
    draw_background,
    hls,
)

Difficulty = Literal["easy", "medium", "hard"]
FRAMES_PER_SECOND = 12


@dataclass(frozen=True)
class _Level:
    """How much nuisance a difficulty adds; lengths are fractions of the picture's side."""

    noise: float  # standard deviation of the pixel noise, 8-bit levels
    flicker: float  # standard deviation of the light from frame to frame, relative
    shake: float
    offset: float  # the object's place
    zoom: tuple[float, float]
    travel: tuple[float, float]  # how much of the pose's range a clip runs through
    jitter: float  # slow wobble of the pose
    clutter: int  # moving shapes
    wall_light: tuple[float, float]
    wall_saturation: tuple[float, float]


_LEVELS: dict[str, _Level] = {
    "easy": _Level(2.0, 0.0, 0.0, 0.02, (0.9, 0.95), (1.0, 1.0), 0.0, 0, (0.6, 0.7), (0.05, 0.15)),
    "medium": _Level(
        5.0, 0.02, 0.01, 0.05, (0.8, 0.95), (0.85, 1.0), 0.02, 1, (0.58, 0.74), (0.05, 0.2)
    ),
    "hard": _Level(
        10.0, 0.06, 0.03, 0.1, (0.6, 0.85), (0.5, 0.8), 0.08, 4, (0.35, 0.8), (0.1, 0.5)
    ),
}


@dataclass(frozen=True)
class Take:
    """Every draw that is not the class; filmed once in each class.

    Attributes:
        group: index of the performer and scene.
        look, background, mirror, zoom, centre: appearance; centre in fractions of the picture.
        pose: (N,) pose of the rising class at every frame of the span, 0 elsewhere.
        span: half-open range of the frames that show the action.
        speed: pose range per second while moving.
        phase: fraction of the span before the movement starts.
        shake: (N, 2) camera offset, in fractions of the picture.
        light: (N,) gain.
        noise: (N, size, size) added 8-bit levels.
        clutter: (count, 5) x, y, x and y per frame, hue of the moving shapes.
        scene_seed: seeds the background's pattern.
    """

    group: int
    look: Look
    background: str
    mirror: bool
    zoom: float
    centre: tuple[float, float]
    pose: NDArray[np.float64]
    span: tuple[int, int]
    speed: float
    phase: float
    shake: NDArray[np.float64]
    light: NDArray[np.float64]
    noise: NDArray[np.float32]
    clutter: NDArray[np.float64]
    scene_seed: int


def _smooth(rng: np.random.Generator, num_frames: int, width: int = 7) -> NDArray[np.float64]:
    """Slow noise of unit variance, (num_frames,), the same in distribution when reversed."""
    window = np.hanning(width + 2)[1:-1]
    white = rng.standard_normal(num_frames + width - 1)
    smooth: NDArray[np.float64] = np.convolve(white, window / np.linalg.norm(window), "valid")
    return smooth


def draw_take(
    index: int,
    group: int,
    *,
    size: int,
    num_frames: tuple[int, int],
    difficulty: Difficulty,
    decisive: bool,
    seed: int,
) -> Take:
    """Draw the nuisance of one take; depends on the arguments alone."""
    level = _LEVELS[difficulty]
    of_group = np.random.default_rng([seed, 0, group])
    rng = np.random.default_rng([seed, 1, index])
    wall_hue, build, skin, companion = of_group.random(4)
    # Dealt in turn: ten or more training groups have met every pattern that a test group shows.
    deal = np.random.default_rng([seed, 3]).permutation(len(BACKGROUNDS))
    background = BACKGROUNDS[deal[group % len(BACKGROUNDS)]]
    look = Look(
        wall_hue=wall_hue,
        wall_light=of_group.uniform(*level.wall_light),
        wall_saturation=of_group.uniform(*level.wall_saturation),
        hue=wall_hue + rng.uniform(0.25, 0.75),
        second_hue=wall_hue + 0.25 + 0.5 * companion,
        build=build,
        skin=skin,
    )
    # Odd, so that sampling the centres of equal segments picks mirrored frames from a reversed
    # clip: rounding is lopsided only where the length is a multiple of twice the sample count.
    length = 2 * int(rng.integers(num_frames[0] // 2, (num_frames[1] + 1) // 2)) + 1
    start, stop = 0, length
    if decisive:
        span_length = round(length * rng.uniform(0.35, 0.5))
        start = int(rng.integers(1, length - span_length))
        stop = start + span_length

    frames = stop - start
    moving = rng.uniform(0.85, 1.0) if decisive else rng.uniform(0.5, 0.95)
    phase = (1.0 - moving) * rng.random()
    # Ease in and out by different amounts; which of the two comes first is a fair draw.
    power = np.exp(rng.uniform(-0.4, 0.4))
    progress = np.clip((np.linspace(0.0, 1.0, frames) - phase) / moving, 0.0, 1.0) ** power
    travel = rng.uniform(*level.travel)
    low = (1.0 - travel) * rng.random()
    pose = np.zeros(length)
    # The wobble vanishes at both ends: however much it shows, the class stays true.
    wobble = level.jitter * _smooth(rng, frames) * np.sin(np.linspace(0.0, np.pi, frames))
    pose[start:stop] = np.clip(low + travel * progress**2 * (3.0 - 2.0 * progress) + wobble, 0, 1)

    shake = level.shake * np.stack([_smooth(rng, length), _smooth(rng, length)], axis=1)
    drift = rng.uniform(-0.02, 0.02, (level.clutter, 2))
    return Take(
        group=group,
        look=look,
        background=background,
        mirror=bool(rng.random() < 0.5),
        zoom=float(rng.uniform(*level.zoom)),
        centre=(
            0.5 + float(rng.uniform(-level.offset, level.offset)),
            0.5 + float(rng.uniform(-level.offset, level.offset)),
        ),
        pose=pose,
        span=(start, stop),
        speed=float(travel) * FRAMES_PER_SECOND / (moving * frames),
        phase=phase,
        shake=shake,
        light=1.0 + level.flicker * _smooth(rng, length, 3),
        noise=level.noise * rng.standard_normal((length, size, size), dtype=np.float32),
        clutter=np.concatenate(
            [rng.random((level.clutter, 2)), drift, rng.random((level.clutter, 1))], axis=1
        ),
        scene_seed=int(of_group.integers(2**31)),
    )


def render_pair(pair: ActionPair, take: Take, size: int) -> NDArray[np.uint8]:
    """Frames of the pair's rising class, uint8 (N, size, size, 3).

    Frames outside the take's span show the empty scene and are the same for every pair.
    """
    large = size * SUPERSAMPLE
    margin = round(0.12 * large)
    scene = draw_background(
        take.background, take.look, large + 2 * margin, np.random.default_rng(take.scene_seed)
    )
    frames = np.empty((len(take.pose), size, size, 3), np.uint8)
    for i, pose in enumerate(take.pose.tolist()):
        dx, dy = np.clip(np.rint(take.shake[i] * large), -margin, margin).astype(int).tolist()
        image = scene.crop((margin - dx, margin - dy, margin - dx + large, margin - dy + large))
        _draw_clutter(image, take, i)
        if take.span[0] <= i < take.span[1]:
            centre = (take.centre[0] * large + dx, take.centre[1] * large + dy)
            pair.draw(Pen(image, centre, 0.5 * take.zoom * large, take.mirror), pose, take.look)
        picture = np.asarray(image.reduce(SUPERSAMPLE), np.float32) * np.float32(take.light[i])
        frames[i] = np.clip(picture + take.noise[i, :, :, None] + 0.5, 0, 255)
    return frames


def _draw_clutter(image: Image.Image, take: Take, frame: int) -> None:
    pen = Pen(image, (0.0, 0.0), float(image.width), False)
    for k, (x, y, step_x, step_y, hue) in enumerate(take.clutter.tolist()):
        place = ((x + step_x * frame) % 1.2 - 0.1, (y + step_y * frame) % 1.2 - 0.1)
        pen.ellipse(place, 0.05 + 0.01 * (k % 3), 0.05, hls(hue, 0.5, 0.5))


def reverse_span(frames: NDArray[np.uint8], span: tuple[int, int]) -> NDArray[np.uint8]:
    """The partner class: the frames of the span in reverse order, all others in place."""
    order = np.arange(len(frames))
    order[span[0] : span[1]] = order[span[0] : span[1]][::-1]
    return frames[order]
