"""The embedded dataset: an instrument for asking whether a model uses the order of frames.

How it is built, and what therefore holds by construction:

- Classes are time-reversed pairs (`synthetic_actions.PAIRS`).
- Everything that is not the class (scene, colours, place, speed, phase, pose jitter, camera
  shake, light, noise, length) is drawn once per *take*, and every take is filmed in all classes.
  No nuisance can tell a class, and every group has every class equally often.
- Two partner clips of a take hold the very same frames, one in reverse order. Each frame is an
  intra-coded picture at a constant quantiser, so its decoded pixels do not depend on its
  neighbours (predicted frames would carry traces of the frame before them, and thereby the
  direction of time). An order-blind model gives both partners the same scores: it is exactly at
  chance within a pair.
- A *group* (a performer in a scene) has several takes; groups do not cross splits.

The first frame alone does tell the class, as it does in life (who is about to sit down stands):
a single-frame baseline has to use the middle frame or treat all frames alike.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from actionrnn.datasets.manifest import MANIFEST_NAME, Manifest
from actionrnn.datasets.synthetic_actions import (
    BACKGROUNDS,
    PAIRS,
    SUPERSAMPLE,
    ActionPair,
    Look,
    Pen,
    draw_background,
    hls,
)
from actionrnn.video.writer import write_video

Difficulty = Literal["easy", "medium", "hard"]
Variant = Literal["standard", "shortcut", "decisive"]

CLASS_NAMES = [name for pair in PAIRS for name in (pair.rising, pair.falling)]
FRAMES_PER_SECOND = 12
SETTINGS_NAME = "synthetic.json"
# Intra-coded at a constant quantiser: what one frame decodes to never depends on another.
_CODEC_OPTIONS = {"preset": "veryfast", "qp": "22", "g": "1", "bf": "0", "threads": "1"}


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


def _falling(frames: NDArray[np.uint8], span: tuple[int, int]) -> NDArray[np.uint8]:
    """The partner class: the frames of the span in reverse order, all others in place."""
    order = np.arange(len(frames))
    order[span[0] : span[1]] = order[span[0] : span[1]][::-1]
    return frames[order]


def _clips(take: Take, split: str, variant: Variant, size: int, test_background: int
           ) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:  # fmt: skip
    """Class name, background and frames of the take in every class."""
    for index, pair in enumerate(PAIRS):
        if variant != "shortcut":
            frames = render_pair(pair, take, size)
            yield pair.rising, take.background, frames
            yield pair.falling, take.background, _falling(frames, take.span)
            continue
        for side, name in enumerate((pair.rising, pair.falling)):
            number = test_background if split == "test" else 2 * index + side
            # Pattern and colour both: a scene that can be recognised.
            look = replace(take.look, wall_hue=number / len(BACKGROUNDS), wall_saturation=0.5)
            scene = replace(take, look=look, background=BACKGROUNDS[number])
            frames = render_pair(pair, scene, size)
            yield name, scene.background, _falling(frames, take.span) if side else frames


def _split_of_groups(num_groups: int, val: float, test: float) -> list[str]:
    num_test, num_val = max(1, round(num_groups * test)), max(1, round(num_groups * val))
    num_train = num_groups - num_val - num_test
    if num_train < 1 or not (val > 0 and test > 0):
        raise ValueError(
            f"val {val} and test {test} of {num_groups} groups leave {num_train} for training; "
            "both must be positive, and at least one group must remain"
        )
    return ["train"] * num_train + ["val"] * num_val + ["test"] * num_test


@dataclass(frozen=True)
class _Settings:
    num_clips: int
    size: int
    min_frames: int
    max_frames: int
    difficulty: str
    variant: str
    seed: int
    val: float
    test: float

    def __post_init__(self) -> None:
        per_take = len(CLASS_NAMES)
        if self.num_clips % per_take or self.num_clips < 3 * per_take:
            fitting = max(3, round(self.num_clips / per_take)) * per_take
            raise ValueError(
                f"num_clips {self.num_clips}: every take is filmed in all {per_take} classes and "
                f"each split needs one, so use a multiple of {per_take}, for example {fitting}"
            )
        if self.size < 32 or self.size % 2:
            raise ValueError(f"size {self.size}: use an even number of pixels, 32 or more")
        if not 8 <= self.min_frames <= self.max_frames - (1 - self.min_frames % 2):
            raise ValueError(
                f"min_frames {self.min_frames}, max_frames {self.max_frames}: lengths are odd "
                "numbers from min_frames (8 or more) to max_frames, and there is none"
            )
        for name, choices in (("difficulty", Difficulty), ("variant", Variant)):
            value = getattr(self, name)
            if value not in get_args(choices):
                raise ValueError(f"unknown {name} {value!r}; one of {', '.join(get_args(choices))}")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative")


def prepare(
    source: None,
    root: str | Path,
    *,
    num_clips: int = 320,
    size: int = 96,
    min_frames: int = 24,
    max_frames: int = 48,
    difficulty: Difficulty = "medium",
    variant: Variant = "standard",
    seed: int = 0,
    val: float = 0.15,
    test: float = 0.25,
    overwrite: bool = False,
) -> Manifest:
    """Render the dataset under `root`: H.264 files in `videos/<class>/`, and the manifest.

    The same arguments give the same manifest and, with the same libraries, the same bytes in
    every file. A folder that already holds exactly this dataset is left as it is.

    Args:
        source: nothing is read; here because every dataset has it.
        root: folder to fill.
        num_clips: a multiple of the number of classes.
        size: side of the square picture in pixels, even.
        min_frames, max_frames: clip lengths are the odd numbers between them, equally likely,
            at 12 frames per second.
        difficulty: amount of noise, clutter, shake, and how far the action goes.
        variant: `shortcut`: in train and val every class has its own background, in test a
            take's background is the same for all classes. `decisive`: only the frames of a span
            show the action, in columns `decisive_start` and `decisive_end` (half-open); all
            other frames are the same in every class.
        seed: of everything.
        val, test: fractions of the groups.
        overwrite: replace a synthetic dataset with other settings.

    Returns:
        The manifest, with extra columns `take` (clips that share every nuisance), `pair`,
        `background`, `speed` (pose range per second), `phase` (fraction of the span before the
        movement), `zoom`, `mirror`, `num_frames`.

    Raises:
        ValueError: for a setting out of range.
        FileExistsError: if `root` holds something else and `overwrite` does not apply.
    """
    if source is not None:
        raise ValueError(f"the synthetic dataset is rendered, not read: no source, got {source!r}")
    settings = _Settings(
        num_clips, size, min_frames, max_frames, difficulty, variant, seed, val, test
    )
    root = Path(root)
    num_takes = num_clips // len(CLASS_NAMES)
    num_groups = max(3, num_takes // 2)
    splits = _split_of_groups(num_groups, val, test)
    if _is_there(root, settings, overwrite):
        return Manifest.load(root)

    for name in CLASS_NAMES:
        (root / "videos" / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(num_takes):
        group = index % num_groups
        take = draw_take(
            index, group, size=size, num_frames=(min_frames, max_frames),
            difficulty=difficulty, decisive=variant == "decisive", seed=seed,
        )  # fmt: skip
        test_background = int(np.random.default_rng([seed, 2, index]).integers(len(BACKGROUNDS)))
        for label, background, frames in _clips(
            take, splits[group], variant, size, test_background
        ):
            video_id = f"{label}_g{group:02d}_t{index:03d}"
            path = f"videos/{label}/{video_id}.mp4"
            write_video(root / path, frames, FRAMES_PER_SECOND, options=_CODEC_OPTIONS)
            row = {
                "video_id": video_id,
                "path": path,
                "label": label,
                "group": f"g{group:02d}",
                "split1": splits[group],
                "pair": next(p.rising for p in PAIRS if label in (p.rising, p.falling)),
                "take": f"t{index:03d}",
                "background": background,
                "speed": f"{take.speed:.4f}",
                "phase": f"{take.phase:.4f}",
                "zoom": f"{take.zoom:.4f}",
                "mirror": str(int(take.mirror)),
                "num_frames": str(len(frames)),
            }
            if variant == "decisive":
                row |= {"decisive_start": str(take.span[0]), "decisive_end": str(take.span[1])}
            rows.append(row)
    manifest = Manifest(root, pd.DataFrame(rows), list(CLASS_NAMES))
    manifest.check_split("split1")
    manifest.save()
    (root / SETTINGS_NAME).write_text(json.dumps(asdict(settings), indent=2) + "\n", "utf-8")
    return manifest


def _is_there(root: Path, settings: _Settings, overwrite: bool) -> bool:
    """Whether `root` holds this very dataset; clears away another one if told to."""
    path = root / SETTINGS_NAME
    if path.is_file():
        found = json.loads(path.read_text("utf-8"))
        if found == asdict(settings):
            return True
        if not overwrite:
            changed = [
                f"{key} {found.get(key)} there, {value} asked for"
                for key, value in asdict(settings).items()
                if found.get(key) != value
            ]
            raise FileExistsError(
                f"{root} holds a synthetic dataset with other settings ({'; '.join(changed)}). "
                "Choose another --root, or pass --overwrite to replace it."
            )
        path.unlink()
        (root / MANIFEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(root / "videos", ignore_errors=True)
    elif (root / MANIFEST_NAME).exists():
        raise FileExistsError(f"{root} holds another dataset; choose another --root")
    return False
