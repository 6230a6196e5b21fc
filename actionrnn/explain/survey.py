"""Are explanations true to the model over many clips, and do they find what was planted?"""

from typing import Any

import numpy as np
import torch

from actionrnn.diagnosis.frame_order import frames_in_span
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.explain.evidence import saliencies
from actionrnn.explain.saliency import METHODS
from actionrnn.training.data import Subset


def survey(run: TrainedModel, subset: Subset = "test", max_clips: int = 100) -> dict[str, Any]:
    """Explain the predicted class of a part's clips from their cached features; plain data.

    Of clips with several views the first is explained. Clips that could not be read are left out
    and counted.

    Returns:
        `methods`: for each, the mean area of the deletion and insertion curves and those of
        random orders (`_sd`: how much these vary within a clip, on average), and the share of
        clips on which it beats them in both. Where the manifest tells the decisive span of each
        clip, `found`: the share of clips whose most salient frame lies in it, `found_chance`
        (the mean share of the clip that the span takes up), and `mass`, the mean share of
        positive saliency in it. `num_clips`, `num_unreadable`.
    """
    part, store = run.data.part(subset), run.data.store
    inside_NVT = frames_in_span(part, store)
    head = run.recognizer.head
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    num_unreadable = 0
    for number, video_id in enumerate(part.table["video_id"]):
        if video_id not in store:
            num_unreadable += 1
            continue
        if len(rows["occlusion"]) == max_clips:
            break
        features_TD = torch.from_numpy(store.read(video_id)[0].astype(np.float32))
        with torch.inference_mode():
            logits_1K = head(features_TD[None], torch.tensor([len(features_TD)])).logits_BK
        inside_T = None if inside_NVT is None else inside_NVT[number, 0, : len(features_TD)]
        for name, found in saliencies(head, features_TD, int(logits_1K.argmax())).items():
            rows[name].append(_row(found, None if inside_T is None else inside_T.numpy()))
    return {
        "subset": subset,
        "num_clips": len(rows["occlusion"]),
        "num_unreadable": num_unreadable,
        "methods": {
            name: {key: float(np.mean([row[key] for row in each])) for key in each[0]}
            for name, each in rows.items()
            if each
        },
    }


def _row(found: Any, inside_T: Any) -> dict[str, float]:
    judged = found.faithfulness
    row = {
        "deletion": judged.deletion_area,
        "random_deletion": judged.random_deletion_area,
        "random_deletion_sd": judged.random_deletion_sd,
        "insertion": judged.insertion_area,
        "random_insertion": judged.random_insertion_area,
        "random_insertion_sd": judged.random_insertion_sd,
        "better_than_random": float(judged.is_faithful),
    }
    if inside_T is None or not inside_T.any():
        return row
    positive_T = found.values_T.clip(min=0)
    total = positive_T.sum()
    return row | {
        "found": float(inside_T[found.values_T.argmax()]),
        "found_chance": float(inside_T.mean()),
        "mass": float(positive_T[inside_T].sum() / total) if total > 0 else 0.0,
    }
