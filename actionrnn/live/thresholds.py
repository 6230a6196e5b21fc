"""Thresholds of events, fitted on recordings with known segments to a rate of false alarms.

Pure: scores and truth in, thresholds and counts out. The detector is that of `live.events`: every
candidate is a class of its own to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrnn.evaluation.segments import Segment
from actionrnn.evaluation.timelines import SECONDS_PER_HOUR, Alarm, count_alarms, segment_f1
from actionrnn.live.events import EventDetector, EventRules

# By rank of the peaks, the more the fewer are above; and evenly from 0 to 1, for wide gaps.
NUM_BY_RANK, NUM_EVEN = 48, 16
# An event ends when its probability falls below one of these shares of the threshold to begin.
OFF_SHARES = (1 / 3, 1 / 2, 2 / 3, 5 / 6)
LEAST_OVERLAP = 0.25  # of a segment with a true one, where shares are compared


@dataclass(frozen=True)
class Recording:
    """A stream that was watched, and what truly happens in it.

    Attributes:
        seconds_T: moments, each the middle of `span_seconds`.
        probs_TK: probabilities there.
        span_seconds: from a moment to the next.
        truth: true segments.
    """

    seconds_T: NDArray[np.floating]
    probs_TK: NDArray[np.floating]
    span_seconds: float
    truth: list[Segment]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.seconds_T) * self.span_seconds


class ClassCounts(NamedTuple):
    """What each candidate of a class is worth; C candidates by falling threshold, R recordings.

    Attributes:
        on_C: thresholds to begin.
        off_share: of them, to end.
        found_RC: true segments that are reported.
        false_RC: false alarms.
        true_R: true segments.
    """

    on_C: NDArray[np.float64]
    off_share: float
    found_RC: NDArray[np.int64]
    false_RC: NDArray[np.int64]
    true_R: NDArray[np.int64]


def count_candidates(
    recordings: Sequence[Recording],
    class_names: Sequence[str],
    rules: EventRules,
    tolerance_seconds: float,
) -> dict[str, ClassCounts]:
    """The counts of every class but the background.

    Args:
        recordings: at least one.
        class_names: in the order of the probabilities.
        rules: all but the thresholds count.
        tolerance_seconds: an alarm so soon after a segment's end is still its own.
    """
    return {
        label: _count(recordings, k, label, rules, tolerance_seconds)
        for k, label in enumerate(class_names)
        if label not in rules.background
    }


def _count(
    recordings: Sequence[Recording],
    k: int,
    label: str,
    rules: EventRules,
    tolerance_seconds: float,
) -> ClassCounts:
    on_C = candidates(np.concatenate([each.probs_TK[:, k] for each in recordings]))
    truths = [[each for each in one.truth if each.label == label] for one in recordings]
    shape = len(OFF_SHARES), len(recordings), len(on_C)
    found_SRC, false_SRC = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    segments: dict[tuple[int, int], list[list[Segment]]] = {}
    for r, (recording, true) in enumerate(zip(recordings, truths, strict=True)):
        watched = _watched(recording, k, label, on_C, rules)
        for (s, c), (alarms, ended) in watched.items():
            found_SRC[s, r, c], false_SRC[s, r, c] = count_alarms(alarms, true, tolerance_seconds)
            segments.setdefault((s, c), []).append(ended)
    f1_SC = np.zeros((len(OFF_SHARES), len(on_C)))
    for place, ended_R in segments.items():
        f1_SC[place] = segment_f1(ended_R, truths, LEAST_OVERLAP)
    best = int(f1_SC.max(axis=1).argmax())
    counts = found_SRC[best], false_SRC[best], np.array([len(true) for true in truths])
    return ClassCounts(on_C, OFF_SHARES[best], *counts)


def candidates(score_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Falling thresholds between the peaks of a class; the first is above all scores, if any is."""
    before, after = np.append(-1.0, score_N[:-1]), np.append(score_N[1:], -1.0)
    peaks = np.unique(score_N[(score_N >= before) & (score_N >= after)]).astype(float)
    between = ((peaks[1:] + peaks[:-1]) / 2)[::-1]
    if len(between) > NUM_BY_RANK:
        places = np.geomspace(1, len(between), NUM_BY_RANK).round().astype(int) - 1
        between = between[places]
    even = np.arange(1, NUM_EVEN) / NUM_EVEN
    found = np.concatenate([between, even[even < peaks[-1]], [(1 + peaks[-1]) / 2]])
    return np.unique(found)[::-1]


def _watched(
    recording: Recording, k: int, label: str, on_C: NDArray[np.float64], rules: EventRules
) -> dict[tuple[int, int], tuple[list[Alarm], list[Segment]]]:
    """Alarms and segments of every share and candidate."""
    places = {f"{s} {c}": (s, c) for s in range(len(OFF_SHARES)) for c in range(len(on_C))}
    on = {name: float(on_C[c]) for name, (_, c) in places.items()}
    off = {name: on[name] * OFF_SHARES[s] for name, (s, _) in places.items()}
    each = replace(rules, on_of=on, off_of=off, background=())
    detector = EventDetector(list(places), each, recording.span_seconds)
    found: dict[tuple[int, int], tuple[list[Alarm], list[Segment]]] = {
        place: ([], []) for place in places.values()
    }
    score_TC = np.broadcast_to(recording.probs_TK[:, [k]], (len(recording.probs_TK), len(places)))
    for event in detector.all_of(recording.seconds_T, score_TC):
        alarms, ended = found[places[event.segment.label]]
        if event.kind == "begin":
            alarms.append(Alarm(label, event.seconds))
        else:
            ended.append(event.segment._replace(label=label))
    return found


class _Level(NamedTuple):
    """The fewest false alarms with which so many segments are found, and which candidate does."""

    num_false: int
    num_found: int
    candidate: int


def _levels(counts: ClassCounts, rows_R: NDArray[np.bool_]) -> list[_Level]:
    """Rising; only those that find more per false alarm than any later one would."""
    found_C = counts.found_RC[rows_R].sum(axis=0)
    worst_C = np.maximum.accumulate(counts.false_RC[rows_R].sum(axis=0))
    levels: list[_Level] = []
    for num_false in np.unique(worst_C).tolist():
        allowed_C = found_C[worst_C <= num_false]
        if levels and allowed_C.max() <= levels[-1].num_found:
            continue
        # Between the surest event that is found and the next false alarm, or loss, stands as far
        # from both as can be.
        equal = np.flatnonzero(allowed_C == allowed_C.max())
        middle = (counts.on_C[equal[0]] + counts.on_C[equal[-1]]) / 2
        nearest = int(equal[np.abs(counts.on_C[equal] - middle).argmin()])
        level = _Level(num_false, int(allowed_C.max()), nearest)
        while len(levels) > 1 and _gain(levels[-2], level) >= _gain(levels[-2], levels[-1]):
            levels.pop()
        levels.append(level)
    return levels


def _gain(lower: _Level, upper: _Level) -> float:
    """Segments found per false alarm."""
    return (upper.num_found - lower.num_found) / (upper.num_false - lower.num_false)


def choose(
    counts: dict[str, ClassCounts], rows_R: NDArray[np.bool_], most_false: int
) -> dict[str, int]:
    """The candidate of each class: together at most so many false alarms, and most found.

    Alarms are spent one step after the other where they find most; more of them add steps and
    take none back, so that no threshold rises with the rate.

    Args:
        counts: of every class.
        rows_R: the recordings that count.
        most_false: false alarms that are allowed on them.
    """
    levels = {label: _levels(each, rows_R) for label, each in counts.items()}
    chosen = {label: each[0] for label, each in levels.items()}
    steps = [
        (-_gain(lower, upper), number, upper.num_false - lower.num_false, label, upper)
        for number, (label, each) in enumerate(levels.items())
        for lower, upper in pairwise(each)
    ]
    spent = sum(level.num_false for level in chosen.values())
    for _, _, cost, label, upper in sorted(steps, key=lambda step: (step[0], step[1], step[4])):
        if spent + cost > most_false:
            break
        spent += cost
        chosen[label] = upper
    return {label: level.candidate for label, level in chosen.items()}


def allowed(alarms_per_hour: float, seconds: float) -> int:
    """Whole false alarms in so long at a rate."""
    return int(alarms_per_hour * seconds / SECONDS_PER_HOUR + 1e-9)


def left_out(
    counts: dict[str, ClassCounts], seconds_R: NDArray[np.float64], alarms_per_hour: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Found segments and false alarms of each recording, by thresholds fitted to the others.

    Args:
        counts: see `choose`.
        seconds_R: lengths of the recordings, at least two.
        alarms_per_hour: the wanted rate.
    """
    found_R, false_R = (np.zeros(len(seconds_R), dtype=int) for _ in range(2))
    for r in range(len(seconds_R)):
        others_R = np.arange(len(seconds_R)) != r
        most = allowed(alarms_per_hour, float(seconds_R[others_R].sum()))
        for label, c in choose(counts, others_R, most).items():
            found_R[r] += counts[label].found_RC[r, c]
            false_R[r] += counts[label].false_RC[r, c]
    return found_R, false_R
