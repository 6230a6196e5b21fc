"""The embedded dataset: an instrument for asking whether a model uses the order of frames.

How it is built, and what therefore holds by construction:

- Classes are time-reversed pairs (`synthetic.actions.PAIRS`).
- Everything that is not the class (scene, colours, place, speed, phase, pose jitter, camera
  shake, light, noise, length) is drawn once per *take*, and every take is filmed in all classes.
  No nuisance can tell a class, and every group has every class equally often.
- Two partner clips of a take hold the very same frames, one in reverse order. Each frame is an
  intra-coded picture at a constant quantiser, so its decoded pixels do not depend on its
  neighbours (predicted frames would carry traces of the frame before them, and thereby the
  direction of time). Lengths are odd, so that uniform sampling picks mirrored frames. An
  order-blind model then gives both partners the same scores: it is exactly at chance within a
  pair (in `decisive`, where only the span is reversed, sampled frames agree on average only).
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

from actionrnn.datasets.content_hash import with_content
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.manifest_table import MANIFEST_NAME
from actionrnn.datasets.prepare_report import Report, class_table
from actionrnn.datasets.synthetic.actions import BACKGROUNDS, PAIRS
from actionrnn.datasets.synthetic.stream import BACKGROUND, Stream
from actionrnn.datasets.synthetic.takes import (
    FRAMES_PER_SECOND,
    Difficulty,
    Take,
    draw_take,
    render_pair,
    reverse_span,
)
from actionrnn.datasets.timelines import COLUMNS, longest_label
from actionrnn.files import publish_json
from actionrnn.progress import tell
from actionrnn.video.writer import write_video

Variant = Literal["standard", "shortcut", "decisive", "stream"]

CLASS_NAMES = [name for pair in PAIRS for name in (pair.rising, pair.falling)]
SETTINGS_NAME = "synthetic.json"
# Intra-coded at a constant quantiser: what one frame decodes to never depends on another.
_CODEC_OPTIONS = {"preset": "veryfast", "qp": "22", "g": "1", "bf": "0", "threads": "1"}


def _clips(take: Take, split: str, variant: Variant, size: int, test_background: int
           ) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:  # fmt: skip
    """Class name, background and frames of the take in every class."""
    for index, pair in enumerate(PAIRS):
        if variant != "shortcut":
            frames = render_pair(pair, take, size)
            yield pair.rising, take.background, frames
            yield pair.falling, take.background, reverse_span(frames, take.span)
            continue
        for side, name in enumerate((pair.rising, pair.falling)):
            number = test_background if split == "test" else 2 * index + side
            # Pattern and colour both: a scene that can be recognised.
            look = replace(take.look, wall_hue=number / len(BACKGROUNDS), wall_saturation=0.5)
            scene = replace(take, look=look, background=BACKGROUNDS[number])
            frames = render_pair(pair, scene, size)
            yield name, scene.background, reverse_span(frames, take.span) if side else frames


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
    difficulty: Difficulty
    variant: Variant
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

    @property
    def num_groups(self) -> int:
        """Performers in scenes; each has two takes or more, where there are enough."""
        return max(3, self.num_clips // len(CLASS_NAMES) // 2)

    @property
    def groups(self) -> list[int]:
        """The group of every take."""
        return [take % self.num_groups for take in range(self.num_clips // len(CLASS_NAMES))]

    def take(self, index: int) -> Take:
        """Draw one."""
        return draw_take(
            index, self.groups[index], size=self.size,
            num_frames=(self.min_frames, self.max_frames), difficulty=self.difficulty,
            decisive=self.variant in ("decisive", "stream"),
            seed=self.seed,
        )  # fmt: skip


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
        min_frames: clip lengths are the odd numbers from here, equally likely, at 12 per second,
        max_frames: to here.
        difficulty: amount of noise, clutter, shake, and how far the action goes.
        variant: `shortcut`: in train and val every class has its own background, in test a
            take's background is the same for all classes. `decisive`: only the frames of a span
            show the action, in columns `decisive_start` and `decisive_end` (half-open); all
            other frames are the same in every class. `stream`: the clips of each group, made as
            for `decisive`, are one recording with pauses, and `timelines.csv` says when what
            happens (see `synthetic.stream`).
        seed: of everything.
        val: fraction of the groups to validate on.
        test: fraction of the groups to test on.
        overwrite: replace a synthetic dataset with other settings.

    Returns:
        The manifest, with extra columns `take` (clips that share every nuisance), `pair`,
        `background`, `speed` (pose range per second), `phase` (fraction of the span before the
        movement), `zoom`, `mirror`, `num_frames`; of streams `background` and `num_frames` alone.

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
    splits = _split_of_groups(settings.num_groups, val, test)
    if _is_there(root, settings, overwrite):
        manifest = Manifest.load(root)
        if all(path.is_file() for path in manifest.video_paths()):
            return manifest

    build = _streams if variant == "stream" else _takes
    manifest = with_content(build(root, settings, splits))
    manifest.check_split("split1")
    manifest.save()
    publish_json(root / SETTINGS_NAME, asdict(settings))
    Report(f"rendered: {variant}, {difficulty}, seed {seed}").write(root, manifest)
    tell(class_table(manifest))
    return manifest


def _takes(root: Path, settings: _Settings, splits: list[str]) -> Manifest:
    """Film every take in all classes, a file each."""
    for name in CLASS_NAMES:
        (root / "videos" / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for index, group in enumerate(settings.groups):
        take = settings.take(index)
        rng = np.random.default_rng([settings.seed, 2, index])
        test_background = int(rng.integers(len(BACKGROUNDS)))
        for label, background, frames in _clips(
            take, splits[group], settings.variant, settings.size, test_background
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
            if settings.variant == "decisive":
                row |= {"decisive_start": str(take.span[0]), "decisive_end": str(take.span[1])}
            rows.append(row)
    return Manifest(root, pd.DataFrame(rows), list(CLASS_NAMES))


def _streams(root: Path, settings: _Settings, splits: list[str]) -> Manifest:
    """Film every group's takes in all classes, one after another in one file."""
    (root / "videos").mkdir(parents=True, exist_ok=True)
    rows, segments = [], []
    for group, split in enumerate(splits):
        takes = [settings.take(index) for index, of in enumerate(settings.groups) if of == group]
        stream = Stream(takes, settings.size, settings.seed)
        video_id = f"g{group:02d}"
        path = f"videos/{video_id}.mp4"
        write_video(root / path, stream.frames(), FRAMES_PER_SECOND, options=_CODEC_OPTIONS)
        mine = [
            (video_id, shot.label, round(shot.start_seconds, 6), round(shot.end_seconds, 6))
            for shot in stream.shots
        ]
        segments += mine
        row = {"video_id": video_id, "path": path, "group": video_id, "split1": split}
        row |= {"background": takes[0].background, "num_frames": str(stream.num_frames)}
        row["label"] = longest_label(pd.DataFrame(mine, columns=list(COLUMNS)), BACKGROUND)
        rows.append(row)
    timelines = pd.DataFrame(segments, columns=list(COLUMNS))
    return Manifest(root, pd.DataFrame(rows), [BACKGROUND, *CLASS_NAMES], timelines)


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
                "Choose another --root, or pass --overwrite true to replace it."
            )
        path.unlink()
        (root / MANIFEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(root / "videos", ignore_errors=True)
    elif (root / MANIFEST_NAME).exists():
        raise FileExistsError(f"{root} holds another dataset; choose another --root")
    return False
