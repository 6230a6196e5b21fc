"""How well timelines are found, as the field scores it; pure functions of plain data.

Frames by average precision, segments by F1 and edit score (Lea et al., CVPR 2017), detections by
mean average precision at temporal overlaps (ActivityNet, THUMOS14), alarms by delay and by false
ones per hour. A "recording" is the list of its segments, in any order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrnn.evaluation.segments import Segment, overlap

Recording = Sequence[Segment]
SECONDS_PER_HOUR = 3600.0


class Alarm(NamedTuple):
    """The moment in which an event was reported."""

    label: str
    seconds: float


def frame_average_precisions(
    scores_TK: NDArray[np.floating], present_TK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average precision of every class over frames, (K,); NaN for a class that never occurs.

    The per-frame mAP of online action detection is `np.nanmean` of it, over the classes without
    the background. Frames of equal score count together, so their order does not matter.

    Args:
        scores_TK: of the frames of all recordings, one after another.
        present_TK: what truly happens in them.

    Raises:
        ValueError: if the shapes differ, or a score is not finite.
    """
    if scores_TK.shape != present_TK.shape or scores_TK.ndim != 2:
        raise ValueError(
            f"scores {scores_TK.shape} and truth {present_TK.shape} must both be (frames, classes)"
        )
    if not np.isfinite(scores_TK).all():
        raise ValueError("scores must be finite")
    pairs = zip(scores_TK.T, present_TK.T, strict=True)
    return np.array([_average_precision(score_T, present_T) for score_T, present_T in pairs])


def _average_precision(score_N: NDArray[np.floating], right_N: NDArray[np.bool_]) -> float:
    """Sum over thresholds of precision times the gain in recall."""
    if not right_N.any():
        return float("nan")
    order = np.argsort(-score_N, kind="stable")
    hits_N = right_N[order].cumsum()
    last_of_ties = np.append(np.diff(score_N[order]) != 0, True)
    hits, taken = hits_N[last_of_ties], np.flatnonzero(last_of_ties) + 1
    return float((hits / taken * np.diff(hits, prepend=0)).sum() / hits[-1])


def segment_f1(
    predicted: Sequence[Recording], truth: Sequence[Recording], least_overlap: float
) -> float:
    """F1 of segments, 0 to 1: right are those that overlap one of their label by so much.

    Each in its order in time takes the segment of its label that it overlaps most; a true one
    that is taken already makes it a false alarm (F1@k of Lea et al.). Hits and errors are added
    over recordings. With nothing predicted and nothing true it is 1.

    Args:
        predicted: segments of each recording.
        truth: true ones of the same recordings.
        least_overlap: intersection over union, 0 < it <= 1; the field uses 0.1, 0.25, 0.5.
    """
    hits = num_predicted = num_true = 0
    for found, true in zip(predicted, truth, strict=True):
        taken: set[int] = set()
        for segment in sorted(found, key=lambda each: each.start_seconds):
            match = _best_match(segment, true, range(len(true)))
            if (
                match is not None
                and match not in taken
                and (overlap(segment, true[match]) >= least_overlap)
            ):
                taken.add(match)
        hits += len(taken)
        num_predicted += len(found)
        num_true += len(true)
    return 2 * hits / (num_predicted + num_true) if num_predicted + num_true else 1.0


def _best_match(segment: Segment, true: Recording, among: Iterable[int]) -> int | None:
    """Which true segment of its label it overlaps most; the first of several, None if none."""
    best, most = None, 0.0
    for number in among:
        if true[number].label == segment.label and overlap(segment, true[number]) > most:
            best, most = number, overlap(segment, true[number])
    return best


def edit_score(predicted: Sequence[Recording], truth: Sequence[Recording]) -> float:
    """Whether the right segments come in the right order, 0 to 1, the mean over recordings.

    One minus the Levenshtein distance of the sequences of labels, divided by the longer's length;
    when they happen does not count.
    """
    scores = []
    for found, true in zip(predicted, truth, strict=True):
        a, b = _labels(found), _labels(true)
        longer = max(len(a), len(b))
        scores.append(1 - _distance(a, b) / longer if longer else 1.0)
    return float(np.mean(scores)) if scores else float("nan")


def _labels(recording: Recording) -> list[str]:
    return [segment.label for segment in sorted(recording, key=lambda each: each.start_seconds)]


def _distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before = row
        row = [i]
        for j, y in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)))
    return row[-1]


def detection_map(
    predicted: Sequence[Recording], truth: Sequence[Recording], least_overlap: float
) -> float:
    """Mean over classes of the average precision of detections, 0 to 1, as ActivityNet scores.

    The surest first, each takes the free true segment of its recording and label that it overlaps
    most, if by `least_overlap`. Precision is that of the best later threshold (interpolated).
    Classes that never occur are left out; NaN if none occurs. The field means it over overlaps
    of 0.3 to 0.7 (THUMOS14) or 0.5 to 0.95 (ActivityNet).
    """
    labels = sorted({segment.label for recording in truth for segment in recording})
    found = [_detection_precision(predicted, truth, label, least_overlap) for label in labels]
    return float(np.mean(found)) if found else float("nan")


def _detection_precision(
    predicted: Sequence[Recording], truth: Sequence[Recording], label: str, least_overlap: float
) -> float:
    detections = [
        (segment, place)
        for place, recording in enumerate(predicted)
        for segment in recording
        if segment.label == label
    ]
    detections.sort(key=lambda each: -each[0].score)
    free = [{n for n, each in enumerate(true) if each.label == label} for true in truth]
    num_true = sum(map(len, free))
    right = np.zeros(len(detections))
    for rank, (segment, place) in enumerate(detections):
        match = _best_match(segment, truth[place], sorted(free[place]))
        if match is not None and overlap(segment, truth[place][match]) >= least_overlap:
            free[place].remove(match)
            right[rank] = 1
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    best_later = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_later * right).sum() / num_true)


@dataclass(frozen=True)
class Onsets:
    """How soon true segments were reported.

    Attributes:
        latencies_seconds: from the start of each segment that was reported before its end to the
            first alarm of its label, in the order of the segments.
        num_missed: those without an alarm.
    """

    latencies_seconds: list[float]
    num_missed: int

    @property
    def median_seconds(self) -> float:
        """Of those reported; NaN if none was."""
        return float(np.median(self.latencies_seconds)) if self.latencies_seconds else float("nan")


def onset_latencies(alarms: Sequence[Sequence[Alarm]], truth: Sequence[Recording]) -> Onsets:
    """How long after its start each true segment was reported; see `Onsets`.

    Args:
        alarms: of each recording.
        truth: true segments of the same recordings.
    """
    latencies, num_missed = [], 0
    for raised, true in zip(alarms, truth, strict=True):
        for segment in sorted(true, key=lambda each: each.start_seconds):
            inside = [alarm.seconds for alarm in raised if _reports(alarm, segment)]
            if inside:
                latencies.append(min(inside) - segment.start_seconds)
            num_missed += not inside
    return Onsets(latencies, num_missed)


def false_alarms_per_hour(
    alarms: Sequence[Sequence[Alarm]],
    truth: Sequence[Recording],
    seconds: Sequence[float],
    tolerance_seconds: float = 0.0,
) -> float:
    """Alarms outside every true segment of their label, per hour watched.

    Args:
        alarms: of each recording.
        truth: true segments of the same recordings.
        seconds: their lengths.
        tolerance_seconds: an alarm so soon after a segment's end is still its own.

    Raises:
        ValueError: if nothing was watched.
    """
    if not sum(seconds) > 0:
        raise ValueError("false alarms per hour: no time was watched")
    false = sum(
        not any(_reports(alarm, segment, tolerance_seconds) for segment in true)
        for raised, true in zip(alarms, truth, strict=True)
        for alarm in raised
    )
    return false * SECONDS_PER_HOUR / sum(seconds)


def _reports(alarm: Alarm, segment: Segment, tolerance_seconds: float = 0.0) -> bool:
    end = segment.end_seconds + tolerance_seconds
    return alarm.label == segment.label and segment.start_seconds <= alarm.seconds <= end


class AlarmCounts(NamedTuple):
    """Of a recording: its true segments that were reported, and alarms that report none."""

    num_found: int
    num_false: int


def count_alarms(
    raised: Sequence[Alarm], true: Recording, tolerance_seconds: float = 0.0
) -> AlarmCounts:
    """What the alarms of one recording are worth.

    Args:
        raised: its alarms.
        true: its true segments.
        tolerance_seconds: an alarm so soon after a segment's end is still its own.
    """

    def reports(alarm: Alarm, segment: Segment) -> bool:
        return _reports(alarm, segment, tolerance_seconds)

    return AlarmCounts(
        sum(any(reports(alarm, segment) for alarm in raised) for segment in true),
        sum(not any(reports(alarm, segment) for segment in true) for alarm in raised),
    )
