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
    scores_TK: NDArray[np.floating], present_TK: NDArray[np.bool_], calibrated: bool = False
) -> NDArray[np.float64]:
    """Average precision of every class over frames, (K,); NaN for a class that never occurs.

    The per-frame mAP of online action detection is `np.nanmean` of it, over the classes without
    the background. Frames of equal score count together, so their order does not matter.

    Args:
        scores_TK: of the frames of all recordings, one after another.
        present_TK: what truly happens in them.
        calibrated: see `grouped_frame_precisions`.

    Raises:
        ValueError: if the shapes differ, or a score is not finite.
    """
    everyone_T, once_11 = np.zeros(len(scores_TK), np.int64), np.ones((1, 1))
    found_RK = grouped_frame_precisions(scores_TK, present_TK, everyone_T, once_11, calibrated)
    return found_RK.reshape(-1)


def grouped_frame_precisions(
    scores_TK: NDArray[np.floating],
    present_TK: NDArray[np.bool_],
    group_T: NDArray[np.int64],
    weights_RG: NDArray[np.float64],
    calibrated: bool = False,
) -> NDArray[np.float64]:
    """`frame_average_precisions` under every weighting of the frames' groups, (R, K).

    Args:
        scores_TK, present_TK: see there.
        group_T: group of each frame, 0 <= it < G.
        weights_RG: how often each group counts.
        calibrated: weigh false alarms as if every class were present in half of the frames, so
            that rare classes compare with frequent ones (De Geest et al., ECCV 2016): precision
            TP / (TP + FP / w) with w frames without the class for each one with it.

    Raises:
        ValueError: if the shapes differ, or a score is not finite.
    """
    if scores_TK.shape != present_TK.shape or scores_TK.ndim != 2:
        raise ValueError(
            f"scores {scores_TK.shape} and truth {present_TK.shape} must both be (frames, classes)"
        )
    if not np.isfinite(scores_TK).all():
        raise ValueError("scores must be finite")
    found = [
        _average_precision(score_T, present_T, group_T, weights_RG, calibrated)
        for score_T, present_T in zip(scores_TK.T, present_TK.T, strict=True)
    ]
    return np.stack(found, axis=1)


def _average_precision(
    score_T: NDArray[np.floating],
    right_T: NDArray[np.bool_],
    group_T: NDArray[np.int64],
    weights_RG: NDArray[np.float64],
    calibrated: bool,
) -> NDArray[np.float64]:
    """The mean, over the frames that are right, of the precision at their score, (R,)."""
    at_P, owner_P = score_T[right_T], group_T[right_T]
    groups = range(weights_RG.shape[1])
    hits_GP = np.stack([_at_least(at_P, at_P[owner_P == group]) for group in groups])
    taken_GP = np.stack([_at_least(at_P, score_T[group_T == group]) for group in groups])
    sizes_G = np.bincount(group_T, minlength=len(groups)).astype(np.float64)
    found = []
    for weights_G in weights_RG:  # one at a time: as many numbers as frames are enough
        hits_P, taken_P, weight_P = weights_G @ hits_GP, weights_G @ taken_GP, weights_G[owner_P]
        total = weight_P.sum()
        if not total:
            found.append(np.nan)
            continue
        false_P = taken_P - hits_P
        if calibrated:
            false_P = false_P * total / max(weights_G @ sizes_G - total, 1e-12)
        used = weight_P > 0
        precision = hits_P[used] / (hits_P + false_P)[used]
        found.append(float((weight_P[used] * precision).sum() / total))
    return np.array(found)


def _at_least(
    thresholds: NDArray[np.floating], scores: NDArray[np.floating]
) -> NDArray[np.float64]:
    """How many scores reach each threshold."""
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    return (len(scores) - below).astype(np.float64)


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
    counts_N3 = segment_counts(predicted, truth, least_overlap)
    hits, num_predicted, num_true = counts_N3.sum(axis=0).tolist()
    return 2 * hits / (num_predicted + num_true) if num_predicted + num_true else 1.0


def segment_counts(
    predicted: Sequence[Recording], truth: Sequence[Recording], least_overlap: float
) -> NDArray[np.int64]:
    """Hits, predicted and true segments of every recording, (N, 3); see `segment_f1`."""
    rows = []
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
        rows.append((len(taken), len(found), len(true)))
    return np.array(rows, np.int64).reshape(-1, 3)


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
    scores_N = edit_scores(predicted, truth)
    return float(np.mean(scores_N)) if len(scores_N) else float("nan")


def edit_scores(predicted: Sequence[Recording], truth: Sequence[Recording]) -> NDArray[np.float64]:
    """The edit score of every recording, (N,)."""
    scores = []
    for found, true in zip(predicted, truth, strict=True):
        a, b = _labels(found), _labels(true)
        longer = max(len(a), len(b))
        scores.append(1 - _distance(a, b) / longer if longer else 1.0)
    return np.array(scores)


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
    once_RN = np.ones((1, len(truth)))
    return float(detection_maps(predicted, truth, least_overlap, once_RN)[0])


def detection_maps(
    predicted: Sequence[Recording],
    truth: Sequence[Recording],
    least_overlap: float,
    weights_RN: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`detection_map` under every weighting of the recordings, (R,)."""
    labels = sorted({segment.label for recording in truth for segment in recording})
    found = [
        _detection_precision(predicted, truth, label, least_overlap, weights_RN) for label in labels
    ]
    if not found:
        return np.full(len(weights_RN), np.nan)
    precision_RK = np.stack(found, axis=1)
    occurs_RK = ~np.isnan(precision_RK)
    total_R = np.where(occurs_RK, precision_RK, 0.0).sum(axis=1)
    return np.where(occurs_RK.any(axis=1), total_R / occurs_RK.sum(axis=1).clip(min=1), np.nan)


def _detection_precision(
    predicted: Sequence[Recording],
    truth: Sequence[Recording],
    label: str,
    least_overlap: float,
    weights_RN: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Interpolated average precision of one class, (R,); NaN where it does not occur."""
    detections = [
        (segment, place)
        for place, recording in enumerate(predicted)
        for segment in recording
        if segment.label == label
    ]
    detections.sort(key=lambda each: -each[0].score)
    free = [{n for n, each in enumerate(true) if each.label == label} for true in truth]
    num_true_R = weights_RN @ np.array([len(each) for each in free])
    right = np.zeros(len(detections))
    for rank, (segment, place) in enumerate(detections):
        match = _best_match(segment, truth[place], sorted(free[place]))
        if match is not None and overlap(segment, truth[place][match]) >= least_overlap:
            free[place].remove(match)
            right[rank] = 1
    weight_RD = weights_RN[:, [place for _, place in detections]]
    hits_RD = weight_RD * right
    precision_RD = hits_RD.cumsum(axis=1) / weight_RD.cumsum(axis=1).clip(min=1e-12)
    best_later_RD = np.maximum.accumulate(precision_RD[:, ::-1], axis=1)[:, ::-1]
    total_R = (best_later_RD * hits_RD).sum(axis=1)
    return np.where(num_true_R > 0, total_R / np.where(num_true_R > 0, num_true_R, 1), np.nan)


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
    false = false_alarms(alarms, truth, tolerance_seconds).sum()
    return float(false * SECONDS_PER_HOUR / sum(seconds))


def false_alarms(
    alarms: Sequence[Sequence[Alarm]], truth: Sequence[Recording], tolerance_seconds: float = 0.0
) -> NDArray[np.int64]:
    """Alarms of every recording that lie outside every true segment of their label, (N,)."""
    pairs = zip(alarms, truth, strict=True)
    found = [count_alarms(raised, true, tolerance_seconds).num_false for raised, true in pairs]
    return np.array(found, np.int64)


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
