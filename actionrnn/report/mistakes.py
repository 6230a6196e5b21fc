"""The most confident mistakes, with a few frames of each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from actionrnn.evaluation.predictions import Predictions
from actionrnn.report.pictures import Places

NUM_MISTAKES = 24


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


def confident_mistakes(scored: Predictions) -> pd.DataFrame:
    """Rows of the readable clips that are wrong, the most confident first.

    Columns `confidence` and `truth` are the probabilities of the predicted and the true class.
    """
    table = scored.table
    wrong = table[((table["error"] == "") & ~table["correct"].astype(bool)).to_numpy()]
    index = {name: k for k, name in enumerate(scored.class_names)}
    pairs = zip(wrong["probs"], wrong["label"], strict=True)
    truth = [float(probs[index[label]]) for probs, label in pairs]
    confidence = [float(np.max(probs)) for probs in wrong["probs"]]
    wrong = wrong.assign(confidence=confidence, truth=truth)
    return wrong.sort_values("confidence", ascending=False, kind="stable").head(NUM_MISTAKES)


def with_frames(mistakes: pd.DataFrame, root: Path | None) -> list[Mistake]:
    """Mistakes with their frames, where their videos can be read.

    Args:
        mistakes: as `confident_mistakes` gives them.
        root: the prepared dataset; None shows no frames.
    """
    places = Places.of(root)
    known = ["video_id", "path", "label", "pred", "confidence", "truth"]
    found = []
    for clip in mistakes[known].itertuples(index=False):
        values = [*clip, *places.film_strip(str(clip.video_id))]
        found.append(Mistake(*values))
    return found
