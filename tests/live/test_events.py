"""Events: what a plain rule says of a series of scores, and that flicker makes none."""

import numpy as np
import pytest

from actionrnn.errors import UsageError
from actionrnn.live.events import Event, EventDetector, EventRules

NAMES = ["rest", "wave"]


def events_of(scores: list[float], rules: EventRules, span: float = 1.0) -> list[Event]:
    """Events of the class `wave`, sampled at the middle of each span."""
    detector = EventDetector(NAMES, rules, span)
    events: list[Event] = []
    for number, score in enumerate(scores):
        events += detector.add((number + 0.5) * span, np.array([1 - score, score]))
    return events + detector.finish()


def spans(events: list[Event]) -> list[tuple[float, float]]:
    return [each.segment[1:3] for each in events if each.kind == "end"]


RULES = EventRules(on=0.6, off=0.4, least_seconds=2, background=("rest",))


def test_an_event_begins_when_it_has_lasted_and_knows_when_it_began() -> None:
    begin, end = events_of([0, 0.7, 0.9, 0.5, 0.3, 0], RULES)
    assert begin.kind == "begin"
    assert begin.seconds == 2.5  # reported
    assert begin.segment.start_seconds == 1.0
    assert end.segment[:3] == ("wave", 1.0, 4.0)
    assert end.segment.score == pytest.approx((0.7 + 0.9 + 0.5) / 3)
    assert end.peak == 0.9
    assert end.seconds == 4.5


def test_between_the_thresholds_nothing_changes() -> None:
    assert spans(events_of([0.5, 0.5, 0.5, 0.5], RULES)) == []
    assert spans(events_of([0.7, 0.5, 0.45, 0.5, 0.5], RULES)) == [(0.0, 5.0)]


def test_short_ones_are_none() -> None:
    assert events_of([0, 0.9, 0, 0.9, 0, 0.9], RULES) == []


def test_a_class_is_silent_after_an_event() -> None:
    rules = EventRules(0.6, 0.4, least_seconds=1, cooldown_seconds=2, background=("rest",))
    scores = [0.9, 0, 0.9, 0, 0.9, 0]
    assert spans(events_of(scores, rules)) == [(0.0, 1.0), (4.0, 5.0)]


def test_thresholds_of_single_classes_and_the_background() -> None:
    scores = [0.3, 0.3, 0.3]
    low = EventRules(on_of={"wave": 0.25}, background=("rest",))
    assert spans(events_of(scores, low)) == [(0.0, 3.0)]
    assert [each.segment.label for each in events_of(scores, EventRules())] == ["rest", "rest"]
    assert events_of([1.0, 1.0], EventRules(background=("wave", "rest"))) == []


def test_flicker_around_one_threshold_is_one_event() -> None:
    rng = np.random.default_rng(0)
    flicker = list(0.6 + rng.uniform(-0.15, 0.15, 200))
    rules = EventRules(on=0.6, least_seconds=0, background=("rest",))
    assert len(spans(events_of(flicker, rules))) == 1
    without = EventRules(on=0.6, off=0.6, least_seconds=0, background=("rest",))
    assert len(spans(events_of(flicker, without))) > 20


def test_wrong_rules_are_refused_with_what_is_meant() -> None:
    for wrong in ({"on": 0.3, "off": 0.5}, {"on": 1.5}, {"off_of": {"wave": 0.9}}):
        with pytest.raises(ValueError, match="off <= on"):
            EventRules(**wrong)
    with pytest.raises(ValueError, match="negative"):
        EventRules(cooldown_seconds=-1)
    with pytest.raises(UsageError, match="did you mean wave"):
        EventDetector(NAMES, EventRules(on_of={"wawe": 0.7}), 1.0)
    with pytest.raises(UsageError, match="known: rest, wave"):
        EventDetector(NAMES, EventRules(background=("x",)), 1.0)
