"""Scores of timelines: known answers, and plain re-implementations on random timelines."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from actionrnn.evaluation.segments import Segment, overlap
from actionrnn.evaluation.timelines import (
    Alarm,
    count_alarms,
    detection_maps,
    edit_scores,
    grouped_frame_precisions,
    onset_latencies,
    segment_f1,
)

LABELS = "abc"


def random_recording(rng: np.random.Generator, most: int = 8) -> list[Segment]:
    """Segments one after another with gaps, of random labels and scores."""
    edges = np.sort(rng.uniform(0, 60, 2 * int(rng.integers(0, most + 1))))
    return [
        Segment(str(rng.choice(list(LABELS))), float(a), float(b), float(rng.random()))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def shaken(rng: np.random.Generator, recording: list[Segment]) -> list[Segment]:
    """The same with bounds moved, some lost, and others added: some are right, some are not."""
    kept = [
        each._replace(
            start_seconds=each.start_seconds + float(rng.normal(0, 0.2)) * each.seconds,
            end_seconds=each.end_seconds + abs(float(rng.normal(0, 0.2))) * each.seconds,
            score=float(rng.random()),
        )
        for each in recording
        if rng.random() < 0.8
    ]
    return [each for each in kept if each.seconds > 0] + random_recording(rng, 3)


def several(seed: int) -> tuple[list[list[Segment]], list[list[Segment]]]:
    rng = np.random.default_rng(seed)
    truth = [random_recording(rng) for _ in range(4)]
    return [shaken(rng, each) for each in truth], truth


def test_overlap_is_intersection_over_union() -> None:
    a = Segment("a", 0, 10)
    assert overlap(a, Segment("b", 5, 15)) == pytest.approx(5 / 15)
    assert overlap(a, Segment("a", 10, 12)) == 0
    assert overlap(a, a) == 1


def frame_average_precisions(
    scores: np.ndarray, present: np.ndarray, calibrated: bool = False
) -> np.ndarray:
    """Of all frames as they are."""
    group = np.zeros(len(scores), np.int64)
    return grouped_frame_precisions(scores, present, group, np.ones((1, 1)), calibrated)[0]


def detection_map(
    predicted: list[list[Segment]], truth: list[list[Segment]], least: float
) -> float:
    """Of all recordings as they are."""
    return float(detection_maps(predicted, truth, least, np.ones((1, len(truth))))[0])


@pytest.mark.parametrize("seed", range(5))
def test_frame_ap_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    present = rng.random((200, 4)) < 0.2
    scores = (rng.random((200, 4)) + present).round(1)  # with ties
    found = frame_average_precisions(scores, present)
    expected = [average_precision_score(present[:, k], scores[:, k]) for k in range(4)]
    assert found == pytest.approx(expected)


def test_a_class_that_never_occurs_has_no_frame_ap() -> None:
    present = np.zeros((5, 2), dtype=bool)
    present[0, 0] = True
    found = frame_average_precisions(np.eye(5, 2), present)
    assert found[0] == 1
    assert math.isnan(found[1])
    with pytest.raises(ValueError, match="finite"):
        frame_average_precisions(np.full((5, 2), np.nan), present)
    with pytest.raises(ValueError, match="frames, classes"):
        frame_average_precisions(np.zeros((5, 3)), present)


def plain_f1(predicted: list[Segment], truth: list[Segment], least: float) -> tuple[int, int, int]:
    """By a table of overlaps, as the papers' code does: hits, false alarms, misses."""
    predicted = sorted(predicted, key=lambda each: each.start_seconds)
    table = np.zeros((len(predicted), len(truth)))
    for (i, a), (j, b) in itertools.product(enumerate(predicted), enumerate(truth)):
        common = max(0.0, min(a[2], b[2]) - max(a[1], b[1]))
        union = (a[2] - a[1]) + (b[2] - b[1]) - common
        table[i, j] = common / union * (a.label == b.label)
    used = np.zeros(len(truth), dtype=bool)
    hits = 0
    for row in table:
        if len(truth) and row.max() >= least and not used[row.argmax()]:
            used[row.argmax()] = True
            hits += 1
    return hits, len(predicted) - hits, len(truth) - hits


@pytest.mark.parametrize("least", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(8))
def test_segment_f1_is_that_of_a_plain_table(seed: int, least: float) -> None:
    predicted, truth = several(seed)
    pairs = zip(predicted, truth, strict=True)
    hits, false, missed = np.sum([plain_f1(*pair, least) for pair in pairs], axis=0)
    expected = 2 * hits / (2 * hits + false + missed)
    assert 0 < expected < 1, "the test's timelines have hits and errors"
    assert segment_f1(predicted, truth, least) == pytest.approx(expected)
    assert segment_f1(truth, truth, least) == 1


def test_a_segment_in_two_pieces_is_one_hit_and_one_false_alarm() -> None:
    truth = [[Segment("a", 0, 10)]]
    pieces = [[Segment("a", 0, 4), Segment("a", 5, 10)]]
    assert segment_f1(pieces, truth, 0.25) == pytest.approx(2 / 3)
    assert segment_f1([[]], [[]], 0.5) == 1
    assert segment_f1([[]], truth, 0.5) == 0


@pytest.mark.parametrize("seed", range(8))
def test_edit_score_is_that_of_a_recursive_distance(seed: int) -> None:
    predicted, truth = several(seed)

    @cache
    def distance(a: str, b: str) -> int:
        if not a or not b:
            return len(a or b)
        if a[0] == b[0]:
            return distance(a[1:], b[1:])
        return 1 + min(distance(a[1:], b), distance(a, b[1:]), distance(a[1:], b[1:]))

    expected = []
    for pair in zip(predicted, truth, strict=True):
        a, b = ("".join(s.label for s in sorted(each, key=lambda s: s[1])) for each in pair)
        expected.append(1 - distance(a, b) / max(len(a), len(b), 1))
    assert edit_scores(predicted, truth) == pytest.approx(expected)
    assert edit_scores(truth, truth) == pytest.approx(1)


def plain_detection_ap(
    predicted: list[list[Segment]], truth: list[list[Segment]], label: str, least: float
) -> float:
    """By the area below the precision-recall curve, its envelope taken at every recall."""
    flat = [(s, v) for v, each in enumerate(predicted) for s in each if s.label == label]
    used: set[tuple[int, int]] = set()
    num_true = sum(s.label == label for each in truth for s in each)
    points = [(0.0, 0.0)]
    hits = 0
    for rank, (s, v) in enumerate(sorted(flat, key=lambda each: -each[0].score), 1):
        options = [
            (overlap(s, t), -j)
            for j, t in enumerate(truth[v])
            if t.label == label and (v, j) not in used and overlap(s, t) >= least
        ]
        if options:
            used.add((v, -max(options)[1]))
            hits += 1
        points.append((hits / num_true, hits / rank))
    recalls = sorted({recall for recall, _ in points} - {0.0})
    steps = np.diff([0.0, *recalls])
    return sum(
        step * max(p for r, p in points if r >= recall)
        for step, recall in zip(steps, recalls, strict=True)
    )


@pytest.mark.parametrize("least", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(8))
def test_detection_map_is_the_area_of_the_envelope(seed: int, least: float) -> None:
    predicted, truth = several(seed)
    present = sorted({s.label for each in truth for s in each})
    expected = np.mean([plain_detection_ap(predicted, truth, label, least) for label in present])
    assert detection_map(predicted, truth, least) == pytest.approx(expected)
    assert detection_map(truth, truth, least) == 1


def test_detections_of_the_same_segment_count_once_the_surest_first() -> None:
    truth = [[Segment("a", 0, 10)]]
    twice = [[Segment("a", 0, 10, 0.4), Segment("a", 0, 9, 0.9)]]
    assert detection_map(twice, truth, 0.5) == 1
    assert detection_map([[Segment("b", 0, 10, 0.9), *twice[0]]], truth, 0.5) == 1
    assert detection_map([[]], truth, 0.5) == 0
    assert math.isnan(detection_map([[]], [[]], 0.5))


def test_onsets_and_false_alarms() -> None:
    truth = [[Segment("a", 10, 20), Segment("b", 30, 40), Segment("a", 50, 60)], []]
    alarms = [
        [Alarm("a", 12.0), Alarm("a", 14.0), Alarm("b", 12.0), Alarm("a", 61.0)],
        [Alarm("b", 5.0)],
    ]
    assert [onset_latencies(*pair) for pair in zip(alarms, truth, strict=True)] == [[2.0], []]
    assert onset_latencies([], []) == []
    assert count_alarms(alarms[0], truth[0]) == (1, 2), "b at 12 s and a at 61 s are false"
    assert count_alarms(alarms[0], truth[0], tolerance_seconds=2) == (2, 1)
    assert count_alarms(alarms[1], truth[1]) == (0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_calibrated_ap_is_that_of_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    present = rng.random(300) < 0.1
    scores = (rng.random(300) + present).round(1)
    ratio = (~present).sum() / present.sum()
    precisions = []
    for score in scores[present]:
        hits = int((present & (scores >= score)).sum())
        false = int((~present & (scores >= score)).sum())
        precisions.append(hits / (hits + false / ratio))
    found = frame_average_precisions(scores[:, None], present[:, None], calibrated=True)
    assert found == pytest.approx(np.mean(precisions))
    # As if the class were in half of the frames: noise has 0.5, however rare it is.
    noise = frame_average_precisions(np.zeros((300, 1)), present[:, None], calibrated=True)
    assert noise == pytest.approx(0.5)


def repeated(recordings: list[list[Segment]], times: list[int]) -> list[list[Segment]]:
    return [each for each, count in zip(recordings, times, strict=True) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_weights_count_recordings_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = [2, 0, 1, 3]
    group = rng.integers(0, 4, 200)
    present = rng.random((200, 3)) < 0.3
    scores = (rng.random((200, 3)) + present).round(1)
    again = np.repeat(np.arange(200), np.array(times)[group])
    for calibrated in (False, True):
        weighted = grouped_frame_precisions(
            scores, present, group, np.array([times], float), calibrated
        )
        expected = frame_average_precisions(scores[again], present[again], calibrated)
        assert weighted[0] == pytest.approx(expected)
    found, truth = several(seed)
    (weighted_map,) = detection_maps(found, truth, 0.3, np.array([times], float))
    # Equal scores of a repeated recording come one after another in both.
    expected_map = detection_map(repeated(found, times), repeated(truth, times), 0.3)
    assert weighted_map == pytest.approx(expected_map)
