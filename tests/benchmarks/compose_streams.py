"""Real streams with known boundaries, composed from the clips of a dataset.

Every stream is made of clips of one part of a split, so that none is mixed; its clips are shown one
after another, in random order, at one size and rate. The clips of one class are the background;
two events never touch, so that each is a segment. A cut from clip to clip is no event: background
follows background as often as an event does.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from actionrnn.datasets.content_hash import with_content
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.timelines import COLUMNS, longest_label
from actionrnn.video.reader import open_video
from actionrnn.video.writer import write_video

SIZE = (320, 240)
FPS = 15


def compose(
    clips: Manifest, split: str, background: str, root: Path, per_stream: int = 16, seed: int = 0
) -> Manifest:
    """Write the streams of every part of a split, and their manifest.

    Args:
        clips: the dataset.
        split: its column.
        background: the class whose clips stand for nothing happening.
        root: where streams and manifest go.
        per_stream: clips of a stream.
        seed: of the order.
    """
    rows, segments = [], []
    for part in ("train", "val", "test"):
        chosen = clips.split(split, part)
        labels = chosen.table["label"].tolist()
        order = _order(labels, background, np.random.default_rng(seed))
        for number, first in enumerate(range(0, len(order), per_stream)):
            video_id = f"{part}{number:02d}"
            places = order[first : first + per_stream]
            paths = [chosen.video_paths()[place] for place in places]
            lengths: list[int] = []
            frames = _frames(paths, lengths)
            write_video(root / f"{video_id}.mp4", frames, FPS, options={"preset": "veryfast"})
            edges = np.cumsum([0, *lengths]) / FPS
            mine = [
                (video_id, labels[place], float(start), float(end))
                for place, start, end in zip(places, edges, edges[1:], strict=False)
                if labels[place] != background
            ]
            segments += mine
            label = longest_label(pd.DataFrame(mine, columns=list(COLUMNS)), background)
            about = {"video_id": video_id, "path": f"{video_id}.mp4", "group": video_id}
            rows.append({**about, "label": label, "split1": part})
    classes = [background, *(name for name in clips.class_names if name != background)]
    timelines = pd.DataFrame(segments, columns=list(COLUMNS))
    manifest = with_content(Manifest(root, pd.DataFrame(rows), classes, timelines))
    manifest.save()
    return manifest


def _order(labels: list[str], background: str, rng: np.random.Generator) -> list[int]:
    """Rows of clips: before every event one or two of the background, again and again."""
    events = [row for row, label in enumerate(labels) if label != background]
    quiet = [row for row, label in enumerate(labels) if label == background]
    rng.shuffle(events)
    found: list[int] = []
    waiting: list[int] = []
    for event in events:
        for _ in range(1 + int(rng.integers(2))):
            if not waiting:
                waiting = rng.permutation(quiet).tolist()
            found.append(waiting.pop())
        found.append(event)
    return found


def _frames(paths: list[Path], lengths: list[int]) -> Iterator[NDArray[np.uint8]]:
    """The frames of clip after clip at one size and rate; appends how many each has."""
    for path in paths:
        with open_video(path) as video:
            end = float(video.timestamps_seconds[-1]) + 1 / video.fps
            moments = np.arange(0.5, max(1, round(end * FPS))) / FPS
            shown = np.searchsorted(video.timestamps_seconds, moments, side="right") - 1
            frames = video.read(shown.clip(0).tolist(), _small)
        lengths.append(len(frames))
        yield from frames


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(frame).resize(SIZE, Image.Resampling.BILINEAR))
