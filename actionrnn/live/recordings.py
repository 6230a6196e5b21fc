"""Recordings of a dataset judged as `timeline` and `live` would report them.

Scores come from stored features, window by window (see `training.windows`), and are those that the
two verbs give for the same frames; from them events are made by the same `EventDetector`.
"""

import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from actionrnn.datasets.timelines import label_ids_at
from actionrnn.errors import UsageError
from actionrnn.evaluation.experiment import ending_of, provenance, scored_part
from actionrnn.evaluation.intervals import group_ids
from actionrnn.evaluation.scoring import probabilities, reading_errors
from actionrnn.evaluation.segments import Segment
from actionrnn.evaluation.timeline_summary import (
    ScoredRecording,
    TimelineSummary,
    summarise_timelines,
)
from actionrnn.evaluation.timelines import Alarm
from actionrnn.files import publish_json, published
from actionrnn.live.events import EventDetector, EventRules, ended
from actionrnn.training.action_data import Subset
from actionrnn.training.data import ActionDataModule
from actionrnn.training.recognizer import ActionRecognizer
from actionrnn.training.run import folder_of
from actionrnn.training.settings import Settings


class TimelineResults(NamedTuple):
    """Figures of a checkpoint, and where they are kept."""

    summary: TimelineSummary
    steps: Path
    metrics: Path


def judge(
    verb: Literal["validate", "test"], settings: Settings
) -> tuple[TimelineSummary, list[ScoredRecording]]:
    """Score the recordings of a verb's part with the checkpoint of the settings.

    Raises:
        ActionRNNError: see `evaluation.experiment.score`; UsageError where only a part of the
            steps was scored.
    """
    built, subset, logits_FVK = scored_part(verb, settings)
    if bool(logits_FVK.isnan().any()):
        raise UsageError(
            "recordings are scored from their start to their end: leave out "
            "--trainer.limit_test_batches, limit_val_batches and fast_dev_run"
        )
    recordings = recordings_of(built.model, built.data, subset, logits_FVK)
    leaked = built.data.leaked or bool((built.model.identity or {}).get("leaked"))
    return summarise_timelines(recordings, built.data.class_names, subset, leaked), recordings


def judge_and_keep(settings: Settings) -> TimelineResults:
    """Judge `data.subset`; write `timelines.parquet` (a row a step) and `metrics.json`."""
    summary, recordings = judge("test", settings)
    ckpt_path = str(settings.ckpt_path)
    folder, ending = folder_of(settings), ending_of(Path(ckpt_path))
    steps, metrics = folder / f"timelines{ending}.parquet", folder / f"metrics{ending}.json"
    with published(steps) as temporary:
        _table(recordings).to_parquet(temporary, index=False)
    origin = {"checkpoint": provenance(ckpt_path), "command": sys.argv}
    publish_json(metrics, {**summary.to_dict(), **origin})
    return TimelineResults(summary, steps, metrics)


def _table(recordings: list[ScoredRecording]) -> pd.DataFrame:
    tables = [
        pd.DataFrame(
            {
                "video_id": each.video_id,
                "step": np.arange(len(each.label_T)),
                "label": each.label_T,
                "probs": list(each.probs_TK),
            }
        )
        for each in recordings
    ]
    return pd.concat(tables, ignore_index=True)


def recordings_of(
    recognizer: ActionRecognizer,
    data: ActionDataModule,
    subset: Subset,
    logits_FVK: Tensor,
) -> list[ScoredRecording]:
    """What was found in every recording of a part by the usual rules, and what truly happens.

    Args:
        recognizer, data, subset: see `evaluation.scoring.predictions_of`.
        logits_FVK: scores of every step of the readable recordings, one after another.
    """
    part, span = data.part(subset), data.span_seconds
    rules = EventRules(background=(data.class_names[0],))
    labels = data.step_labels(subset)
    ids = part.table["video_id"].tolist()
    errors = reading_errors(data, ids)
    sizes = [len(labels_T) for labels_T in labels.values()]
    probs = dict(zip(labels, probabilities(recognizer, logits_FVK).split(sizes), strict=True))
    found = []
    for video_id, group in zip(ids, group_ids(part.table).tolist(), strict=True):
        columns = part.segments(video_id)[["label", "start_seconds", "end_seconds"]]
        truth = [Segment(*row) for row in columns.itertuples(index=False)]
        about: dict[str, Any] = {"video_id": video_id, "group": group, "truth": truth}
        if video_id in errors:
            found.append(_unread(about, data, errors[video_id]))
            continue
        probs_TK = probs[video_id].numpy()
        moments_T = (np.arange(len(probs_TK)) + 0.5) * span
        events = EventDetector(data.class_names, rules, span).all_of(moments_T, probs_TK)
        found.append(
            ScoredRecording(
                **about,
                seconds=len(probs_TK) * span,
                found=ended(events),
                alarms=[
                    Alarm(event.segment.label, event.seconds)
                    for event in events
                    if event.kind == "begin"
                ],
                label_T=labels[video_id].numpy(),
                probs_TK=probs_TK,
            )
        )
    return found


def _unread(about: dict[str, Any], data: ActionDataModule, error: str) -> ScoredRecording:
    """Nothing is found in what cannot be read; it lasts as long as it is known to."""
    span = data.span_seconds
    seconds = max((segment.end_seconds for segment in about["truth"]), default=0.0)
    moments = np.arange(0.5, max(1, round(seconds / span))) * span
    probs_TK = np.zeros((len(moments), len(data.class_names)))
    probs_TK[:, 0] = 1.0
    return ScoredRecording(
        **about,
        seconds=seconds,
        found=[],
        alarms=[],
        label_T=label_ids_at(data.manifest.segments(about["video_id"]), data.class_names, moments),
        probs_TK=probs_TK,
        error=error,
    )
