"""The most confident mistakes, with a few frames of each."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.evaluation.predictions import Predictions
from actionrnn.report.screen import Bar
from actionrnn.video.decode import read_chosen
from actionrnn.video.errors import VideoError
from actionrnn.video.reader import open_video
from actionrnn.video.sampling import sample_uniform

NUM_MISTAKES = 24
NUM_FRAMES = 4
WIDTH = 160


@dataclass(frozen=True)
class Mistake:
    """A clip taken for something else.

    Attributes:
        video_id, path, label, pred: which clip, what it is, and what it was taken for.
        confidence: probability of the wrong class.
        truth: probability of the right one.
        frames: JPEG pictures as data addresses, in order.
        problem: why there are no frames.
    """

    video_id: str
    path: str
    label: str
    pred: str
    confidence: float
    truth: float
    frames: list[str]
    problem: str

    @property
    def confidence_bar(self) -> Bar:
        """Drawn beside it."""
        return Bar(self.confidence, tone="bad")

    @property
    def truth_bar(self) -> Bar:
        """Drawn beside it."""
        return Bar(self.truth)


def confident_mistakes(scored: Predictions, limit: int = NUM_MISTAKES) -> pd.DataFrame:
    """Rows of the readable clips that are wrong, the most confident first.

    Columns `confidence` and `truth` are the probabilities of the predicted and the true class.
    """
    table = scored.table
    wrong = table[((table["error"] == "") & ~table["correct"].astype(bool)).to_numpy()]
    index = {name: k for k, name in enumerate(scored.class_names)}
    truth = [
        float(probs[index[label]])
        for probs, label in zip(wrong["probs"], wrong["label"], strict=True)
    ]
    confidence = [float(np.max(probs)) for probs in wrong["probs"]]
    wrong = wrong.assign(confidence=confidence, truth=truth)
    return wrong.sort_values("confidence", ascending=False, kind="stable").head(limit)


def with_frames(mistakes: pd.DataFrame, root: Path | None, reader: str = "auto") -> list[Mistake]:
    """Mistakes with their frames, where their videos can be read.

    Args:
        mistakes: as `confident_mistakes` gives them.
        root: the prepared dataset; None shows no frames.
        reader: the decoder.
    """
    places, problem = _places(root)
    found = []
    for _, row in mistakes.iterrows():
        frames, reason = [], problem
        if not problem and str(row["video_id"]) not in places:
            reason = "the manifest has no such clip any more"
        elif not problem:
            try:
                frames = film_strip(*places[str(row["video_id"])], reader=reader)
            except VideoError as error:
                reason = error.reason
        found.append(
            Mistake(
                video_id=str(row["video_id"]),
                path=str(row["path"]),
                label=str(row["label"]),
                pred=str(row["pred"]),
                confidence=float(row["confidence"]),
                truth=float(row["truth"]),
                frames=frames,
                problem=reason,
            )
        )
    return found


def _places(root: Path | None) -> tuple[dict[str, tuple[Path, float | None, float | None]], str]:
    if root is None:
        return {}, "the run does not say where its videos are"
    try:
        manifest = Manifest.load(root)
    except ManifestError:
        return {}, f"no dataset at {root}; give its folder with --data.root"
    table = manifest.table
    seconds = [
        [None if np.isnan(value) else float(value) for value in table[name]]
        for name in ("start_seconds", "end_seconds")
    ]
    rows = zip(table["video_id"], manifest.video_paths(), *seconds, strict=True)
    return {str(name): (path, start, end) for name, path, start, end in rows}, ""


def film_strip(
    path: Path,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    num_frames: int = NUM_FRAMES,
    width: int = WIDTH,
    reader: str = "auto",
) -> list[str]:
    """Frames spread over a clip as small JPEG pictures, `data:` addresses for HTML.

    Raises:
        VideoError: if it cannot be read.
    """
    with open_video(path, reader, start_seconds, end_seconds) as video:
        pictures, _ = read_chosen(
            video, lambda: sorted(set(sample_uniform(video.num_frames, num_frames)))
        )
    return [_jpeg(picture, width) for picture in pictures]


def _jpeg(picture: Any, width: int) -> str:
    image = Image.fromarray(picture)
    image = image.resize((width, max(1, round(width * image.height / image.width))))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=78, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
