"""Everything `metrics.json` says of recordings in which things begin and end.

Intervals are over recordings (groups of them where several are from one), as everywhere.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actionrnn.evaluation.intervals import (
    Figure,
    difference_interval,
    draw_weights,
    figure,
    how_sure,
    too_few,
)
from actionrnn.evaluation.segments import Segment
from actionrnn.evaluation.timelines import (
    SECONDS_PER_HOUR,
    Alarm,
    count_alarms,
    detection_maps,
    edit_scores,
    grouped_frame_precisions,
    mean_over_classes,
    onset_latencies,
    ratio,
    segment_counts,
)

NUM_DRAWS = 500
OVERLAPS_F1 = (0.1, 0.25, 0.5)
OVERLAPS_MAP = (0.3, 0.4, 0.5, 0.6, 0.7)
HEADLINES = {
    "frame_map": "frame mAP",
    "frame_calibrated_map": "frame mAP, calibrated",
    "segment_f1_10": "segment F1 at 10 % overlap",
    "segment_f1_25": "segment F1 at 25 % overlap",
    "segment_f1_50": "segment F1 at 50 % overlap",
    "edit": "edit score",
    "detection_map": "detection mAP, tIoU 0.3 to 0.7",
    "found": "events reported before their end",
    "onset_seconds": "onset latency, median s",
    "false_alarms_per_hour": "false alarms per hour",
}
LOWER_IS_BETTER = ("onset_seconds", "false_alarms_per_hour")


@dataclass(frozen=True)
class ScoredRecording:
    """A recording: what truly happens in it, and what was found.

    Attributes:
        video_id, group: as in the manifest.
        seconds: its length.
        truth, found: segments.
        alarms: when each found event was reported.
        label_T: true class of every step; 0 is the background.
        probs_TK: float64 probabilities there.
        error: why it could not be read; nothing was found in it then.
    """

    video_id: str
    group: int
    seconds: float
    truth: list[Segment]
    found: list[Segment]
    alarms: list[Alarm]
    label_T: NDArray[np.int64]
    probs_TK: NDArray[np.float64]
    error: str = ""


@dataclass(frozen=True)
class ClassTimes:
    """One class: true segments, and the average precision of its frames (None if it has none)."""

    label: str
    segments: int
    frame_ap: float | None


@dataclass(frozen=True)
class TimelineSummary:
    """The figures of the recordings of a part of a split.

    Attributes:
        subset: name of the part.
        leaked: the split shares recordings between its parts.
        num_recordings, num_unreadable, num_groups, num_segments: how many; in unreadable ones
            nothing is found, and all of it counts.
        hours: of all of them.
        figures: by the keys of `HEADLINES`, each with its interval.
        per_class: all but the background.
    """

    subset: str
    leaked: bool
    num_recordings: int
    num_unreadable: int
    num_groups: int
    num_segments: int
    hours: float
    figures: dict[str, Figure]
    per_class: list[ClassTimes]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in `metrics.json`."""
        return {
            "subset": self.subset,
            "leaked": self.leaked,
            "num_recordings": self.num_recordings,
            "num_unreadable": self.num_unreadable,
            "num_groups": self.num_groups,
            "num_segments": self.num_segments,
            "hours": round(self.hours, 4),
            **{key: _plain(each.value) for key, each in self.figures.items()},
            **how_sure(self.figures, NUM_DRAWS),
            "per_class": [asdict(each) for each in self.per_class],
        }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def summarise_timelines(
    recordings: Sequence[ScoredRecording], class_names: Sequence[str], subset: str, leaked: bool
) -> TimelineSummary:
    """Every figure, with 95 % intervals over the recordings' groups.

    Args:
        recordings: all of a part, unreadable ones among them.
        class_names: the background first.
        subset: name of the part.
        leaked: see `TimelineSummary`.
    """
    group_N = np.array([each.group for each in recordings])
    num_groups = int(group_N.max()) + 1
    weights_RG = np.concatenate(
        [np.ones((1, num_groups)), draw_weights(num_groups, NUM_DRAWS).numpy()]
    )
    weights_RN = weights_RG[:, group_N]
    frame_map_RK, calibrated_RK = (
        _average_precisions(recordings, group_N, weights_RG, calibrated)
        for calibrated in (False, True)
    )
    values = {
        "frame_map": mean_over_classes(frame_map_RK),
        "frame_calibrated_map": mean_over_classes(calibrated_RK),
        **_segment_figures(recordings, weights_RN),
        **_alarm_figures(recordings, weights_RN),
    }
    num_segments = sum(len(each.truth) for each in recordings)
    counts = [
        sum(segment.label == label for each in recordings for segment in each.truth)
        for label in class_names[1:]
    ]
    return TimelineSummary(
        subset=subset,
        leaked=leaked,
        num_recordings=len(recordings),
        num_unreadable=sum(bool(each.error) for each in recordings),
        num_groups=num_groups,
        num_segments=num_segments,
        hours=sum(each.seconds for each in recordings) / SECONDS_PER_HOUR,
        figures={key: _figure(key, values[key], num_groups, num_segments) for key in HEADLINES},
        per_class=[
            ClassTimes(label, count, _plain(float(precision)))
            for label, count, precision in zip(
                class_names[1:], counts, frame_map_RK[0], strict=True
            )
        ],
    )


def _figure(key: str, values_R: NDArray[np.float64], num_groups: int, num_segments: int) -> Figure:
    """The first value, of all recordings as they are, with the interval of the others."""
    value, draws_R = float(values_R[0]), torch.from_numpy(values_R[1:])
    if np.isnan(value):
        return Figure(value, None, "there is nothing to count")
    if key in LOWER_IS_BETTER:
        missing = too_few(num_groups)
        interval = difference_interval(value, draws_R, num_groups, 0.0, float("inf"))
        return Figure(value, interval, missing)
    return figure(value, draws_R, num_groups, num_segments, is_share=key == "found")


def _average_precisions(
    recordings: Sequence[ScoredRecording],
    group_N: NDArray[np.int64],
    weights_RG: NDArray[np.float64],
    calibrated: bool,
) -> NDArray[np.float64]:
    """Of the frames of every class but the background, (R, K - 1)."""
    probs_FK = np.concatenate([each.probs_TK for each in recordings])
    label_F = np.concatenate([each.label_T for each in recordings])
    group_F = np.repeat(group_N, [len(each.label_T) for each in recordings])
    present_FK = label_F[:, None] == np.arange(1, probs_FK.shape[1])
    return grouped_frame_precisions(probs_FK[:, 1:], present_FK, group_F, weights_RG, calibrated)


def _segment_figures(
    recordings: Sequence[ScoredRecording], weights_RN: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    found, truth = [each.found for each in recordings], [each.truth for each in recordings]
    values = {}
    for least in OVERLAPS_F1:
        hits_N, predicted_N, true_N = segment_counts(found, truth, least).T
        values[f"segment_f1_{least:.0%}".rstrip("%")] = ratio(
            weights_RN @ (2 * hits_N), weights_RN @ (predicted_N + true_N)
        )
    values["edit"] = ratio(weights_RN @ edit_scores(found, truth), weights_RN.sum(axis=1))
    maps = [detection_maps(found, truth, least, weights_RN) for least in OVERLAPS_MAP]
    values["detection_map"] = np.mean(maps, axis=0)
    return values


def _alarm_figures(
    recordings: Sequence[ScoredRecording], weights_RN: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    latencies_N = [onset_latencies(each.alarms, each.truth) for each in recordings]
    reported_N = np.array([len(each) for each in latencies_N])
    true_N = np.array([len(each.truth) for each in recordings])
    latencies = np.array([seconds for each in latencies_N for seconds in each])
    owner = np.repeat(np.arange(len(recordings)), reported_N)
    alarms_N = np.array([count_alarms(each.alarms, each.truth).num_false for each in recordings])
    hours_N = np.array([each.seconds for each in recordings]) / SECONDS_PER_HOUR
    return {
        "found": ratio(weights_RN @ reported_N, weights_RN @ true_N),
        "onset_seconds": _medians(latencies, weights_RN[:, owner]),
        "false_alarms_per_hour": ratio(weights_RN @ alarms_N, weights_RN @ hours_N),
    }


def _medians(values: NDArray[np.float64], weights_RM: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median where each value is there so many times; NaN where none is."""
    repeated = [np.repeat(values, weights_M.astype(int)) for weights_M in weights_RM]
    return np.array([np.median(each) if len(each) else np.nan for each in repeated])
