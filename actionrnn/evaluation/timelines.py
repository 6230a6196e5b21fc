"""How well timelines are found, as the field scores it; pure functions of plain data.

Frames by average precision, segments by F1 and edit score (Lea et al., CVPR 2017), detections by
mean average precision at temporal overlaps (ActivityNet, THUMOS14), alarms by delay and by false
ones per hour. A "recording" is the list of its segments, in any order.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrnn.evaluation.segments import Segment, overlap

Recording = Sequence[Segment]
SECONDS_PER_HOUR = 3600.0


class Alarm(NamedTuple):
    """The moment in which an event was reported."""

    label: str
    seconds: float


def grouped_frame_precisions(
    scores_TK: NDArray[np.floating],
    present_TK: NDArray[np.bool_],
    group_T: NDArray[np.int64],
    weights_RG: NDArray[np.float64],
    calibrated: bool = False,
) -> NDArray[np.float64]:
    """Average precision of every class over frames, under weightings of their groups, (R, K).

    NaN for a class that never occurs. The per-frame mAP of online action detection is its mean
    over the other classes without the background. Frames of equal score count together, so their
    order does not matter.

    Args:
        scores_TK: of the frames of all recordings, one after another.
        present_TK: what truly happens in them.
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
            if match is not None and overlap(segment, true[match]) >= least_overlap:
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


def edit_scores(predicted: Sequence[Recording], truth: Sequence[Recording]) -> NDArray[np.float64]:
    """Whether the right segments of each recording come in the right order, (N,), 0 to 1.

    One minus the Levenshtein distance of the sequences of labels, divided by the longer's length;
    when they happen does not count.
    """
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


def detection_maps(
    predicted: Sequence[Recording],
    truth: Sequence[Recording],
    least_overlap: float,
    weights_RN: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean over classes of the average precision of detections as ActivityNet scores, (R,), 0 to 1.

    The surest first, each takes the free true segment of its recording and label that it overlaps
    most, if by `least_overlap`. Precision is that of the best later threshold (interpolated).
    Classes that never occur are left out; NaN if none occurs. The field means it over overlaps
    of 0.3 to 0.7 (THUMOS14) or 0.5 to 0.95 (ActivityNet). Each recording counts as often as the
    weights say.
    """
    labels = sorted({segment.label for recording in truth for segment in recording})
    found = [
        _detection_precision(predicted, truth, label, least_overlap, weights_RN) for label in labels
    ]
    if not found:
        return np.full(len(weights_RN), np.nan)
    return mean_over_classes(np.stack(found, axis=1))


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
    return ratio(total_R, num_true_R)


def mean_over_classes(value_RK: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of those that are not NaN, (R,); NaN where there is none."""
    return ratio(np.nansum(value_RK, axis=1), (~np.isnan(value_RK)).sum(axis=1))


def ratio(over: NDArray[Any], under: NDArray[Any]) -> NDArray[np.float64]:
    """`over / under`; NaN where nothing is divided by."""
    return np.where(under > 0, over / np.where(under > 0, under, 1), np.nan)


def onset_latencies(raised: Sequence[Alarm], true: Recording) -> list[float]:
    """Seconds from the start of each true segment to the first alarm of its label.

    Of the segments that were reported before their end, in their order in time.

    Args:
        raised: the alarms of one recording.
        true: its true segments.
    """
    latencies = []
    for segment in sorted(true, key=lambda each: each.start_seconds):
        inside = [alarm.seconds for alarm in raised if _reports(alarm, segment)]
        if inside:
            latencies.append(min(inside) - segment.start_seconds)
    return latencies


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
        raised, true: see `onset_latencies`.
        tolerance_seconds: an alarm so soon after a segment's end is still its own.
    """
    return AlarmCounts(
        sum(any(_reports(alarm, each, tolerance_seconds) for alarm in raised) for each in true),
        sum(not any(_reports(alarm, each, tolerance_seconds) for each in true) for alarm in raised),
    )
