"""Are explanations true to the model over many clips, and do they find what was planted?"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from actionrnn.diagnosis.frame_order import frames_in_span
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.explain.evidence import Saliency, saliencies
from actionrnn.explain.saliency import METHODS
from actionrnn.training.action_data import Subset


@dataclass(frozen=True)
class MethodSurvey:
    """One method's means over clips.

    Attributes:
        deletion, insertion: area of the curves; `random_`: of random orders, and `_sd` how much
            these vary within a clip.
        better_than_random: share of clips on which it beats them in both.
        found: share of clips whose most salient frame lies in the decisive span that the manifest
            tells; None where it tells none, as the two that follow.
        found_chance: mean share of the clip that the span takes up.
        mass: mean share of positive saliency in it.
    """

    deletion: float
    random_deletion: float
    random_deletion_sd: float
    insertion: float
    random_insertion: float
    random_insertion_sd: float
    better_than_random: float
    found: float | None = None
    found_chance: float | None = None
    mass: float | None = None


@dataclass(frozen=True)
class Survey:
    """Explanations of some clips of a part; unreadable ones are left out and counted."""

    subset: str
    num_clips: int
    num_unreadable: int
    methods: dict[str, MethodSurvey]


def survey(run: TrainedModel, subset: Subset = "test", max_clips: int = 100) -> Survey:
    """Explain the predicted class of a part's clips from their cached features.

    Of clips with several views the first is explained.

    Raises:
        ActionRNNError: if no clip could be read.
    """
    part, store = run.data.part(subset), run.data.store
    inside_NVT = frames_in_span(part, store)
    head = run.recognizer.head
    rows: dict[str, list[MethodSurvey]] = {name: [] for name in METHODS}
    num_clips = num_unreadable = 0
    for number, video_id in enumerate(part.table["video_id"]):
        if video_id not in store:
            num_unreadable += 1
            continue
        if num_clips == max_clips:
            break
        num_clips += 1
        features_TD = torch.from_numpy(store.read(video_id)[0].astype(np.float32))
        with torch.inference_mode():
            logits_1K = head(features_TD[None], torch.tensor([len(features_TD)])).logits_BK
        inside_T = None if inside_NVT is None else inside_NVT[number, 0, : len(features_TD)]
        for name, found in saliencies(head, features_TD, int(logits_1K.argmax())).items():
            rows[name].append(_judge(found, None if inside_T is None else inside_T.numpy()))
    if not num_clips:
        raise ActionRNNError(f"none of the '{subset}' clips could be read: nothing to explain")
    methods = {name: _mean(each) for name, each in rows.items()}
    return Survey(subset, num_clips, num_unreadable, methods)


def _mean(rows: list[MethodSurvey]) -> MethodSurvey:
    means = {}
    for each in fields(MethodSurvey):
        values = [getattr(row, each.name) for row in rows]
        known = [value for value in values if value is not None]
        means[each.name] = float(np.mean(known)) if known else None
    return MethodSurvey(**means)  # type: ignore[arg-type]  # None only where None is allowed


def _judge(found: Saliency, inside_T: NDArray[np.bool_] | None) -> MethodSurvey:
    judged = found.faithfulness
    areas = (
        *(judged.deletion_area, judged.random_deletion_area, judged.random_deletion_sd),
        *(judged.insertion_area, judged.random_insertion_area, judged.random_insertion_sd),
        float(judged.is_faithful),
    )
    if inside_T is None or not inside_T.any():
        return MethodSurvey(*areas)
    positive_T = found.values_T.clip(min=0)
    total = positive_T.sum()
    return MethodSurvey(
        *areas,
        found=float(inside_T[found.values_T.argmax()]),
        found_chance=float(inside_T.mean()),
        mass=float(positive_T[inside_T].sum() / total) if total > 0 else 0.0,
    )
