"""From a trained model and its data to a predictions table: the one path to a score.

`validate`, `test`, `predict`, the Python API, the notebooks and the diagnoses all come through
`ActionRecognizer.validation_step` and here.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actionrnn.errors import UsageError, lasting
from actionrnn.evaluation.predictions import Predictions
from actionrnn.training.action_data import Subset
from actionrnn.training.batches import Batch
from actionrnn.training.data import ActionDataModule
from actionrnn.training.recognizer import ActionRecognizer, clip_logits

Change = Callable[[Batch], Batch]


def score_part(
    recognizer: ActionRecognizer,
    data: ActionDataModule,
    subset: Subset,
    change: Change | None = None,
) -> Tensor:
    """Scores of every view of a part's clips, (N, V, K); NaN rows could not be read.

    Of timelines those of every step of the readable recordings. What is done is what a Trainer does
    in `validate` and `test`.

    Args:
        recognizer: in eval mode.
        data: features ready.
        subset: the part.
        change: alters each batch before it is scored.

    Raises:
        DataRejected: if clips of the part were trained on.
        NotFinite: if a score is NaN or infinite.
    """
    assert recognizer.identity is not None
    data.check_unseen(recognizer.identity, subset)
    with torch.inference_mode():
        for number, batch in enumerate(data.loader(subset)):
            recognizer.validation_step(change(batch) if change else batch, number)
    return recognizer.collect_scores(len(data.targets(subset)))


def score_clip(recognizer: ActionRecognizer, features_VTD: Tensor) -> Tensor:
    """Scores of every view of one clip, (V, K), on the CPU.

    Args:
        recognizer: in eval mode.
        features_VTD: its features, every frame valid.

    Raises:
        NotFinite: if a score is NaN or infinite.
    """
    device = next(recognizer.parameters()).device
    lengths_V = torch.full((len(features_VTD),), features_VTD.shape[1], device=device)
    none = torch.zeros(1, dtype=torch.long)
    clip = Batch(features_VTD.float().to(device)[None], lengths_V[None], none, none)
    with torch.inference_mode():
        recognizer.validation_step(clip, 0)
    return recognizer.collect_scores(1)[0]


def probabilities(recognizer: ActionRecognizer, logits_NVK: Tensor) -> Tensor:
    """Of every class for every clip, float64 (N, K): over its views, with the temperature."""
    logits_NK = clip_logits(logits_NVK.double(), recognizer.temperature)
    return logits_NK.softmax(dim=1)


def predictions_of(
    recognizer: ActionRecognizer,
    data: ActionDataModule,
    subset: Subset,
    logits_NVK: Tensor,
    ckpt_path: str | os.PathLike[str],
) -> Predictions:
    """The predictions table of a part from its scores, wherever they were computed.

    Args:
        recognizer: made them; its temperature counts.
        data, subset: see `score_part`.
        logits_NVK: from `score_part`, or `recognizer.scored_logits_NVK` after a Trainer's pass;
            NaN rows were not scored.
        ckpt_path: where the model came from.

    Raises:
        UsageError: if the data are timelines, whose recordings have no one class.
    """
    refuse_timelines(data)
    identity: dict[str, Any] = recognizer.identity or {}
    part = data.part(subset)
    return Predictions.from_logits(
        part,
        subset,
        logits_NVK,
        reading_errors(data, part.table["video_id"].tolist()),
        leaked=data.leaked or bool(identity.get("leaked")),
        temperature=recognizer.temperature,
        about={
            "ckpt_path": lasting(ckpt_path),
            "data": data.options(),
            "num_parameters": recognizer.head.num_parameters,
            "head": recognizer.head_config.to_dict(),
        },
    )


def refuse_timelines(data: ActionDataModule) -> None:
    """Refuse to ask about the clips of recordings.

    Raises:
        UsageError: naming the verbs that can be asked.
    """
    if data.has_timelines:
        raise UsageError(
            f"{data.root} holds timelines: this asks for the class of a clip, and recordings have "
            f"none. Score them with `actionrnn test`, watch them with `actionrnn timeline`"
        )


def reading_errors(data: ActionDataModule, video_ids: list[str]) -> dict[str, str]:
    """Why clips have no features, for each that has none."""
    failures = data.store.failures
    return {
        video_id: failures.get(video_id, "not read this time; the next run tries again")
        for video_id in video_ids
        if video_id not in data.store
    }
