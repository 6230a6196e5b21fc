"""From flickering scores to events that begin and end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrnn.errors import UsageError, near_miss
from actionrnn.evaluation.segments import Segment

USUAL_OFF = 2 / 3  # of `on`: scores that flicker by a third are one event


@dataclass(frozen=True)
class EventRules:
    """When an event begins and ends, the same for every class but for its thresholds.

    Args:
        on: an event may begin at this probability ...
        off: ... and lasts until it falls below this one (hysteresis); None is two thirds of `on`.
        on_of, off_of: other thresholds of single classes.
        least_seconds: shorter ones are none; an event is reported when it has lasted so long.
        cooldown_seconds: after an event its class is silent for so long.
        background: classes that stand for nothing happening; they make no events.

    Raises:
        ValueError: for a threshold outside 0..1, an `off` above its `on`, or negative times.
    """

    on: float = 0.6
    off: float | None = None
    on_of: dict[str, float] = field(default_factory=dict)
    off_of: dict[str, float] = field(default_factory=dict)
    least_seconds: float = 0.5
    cooldown_seconds: float = 0.0
    background: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in (None, *self.on_of, *self.off_of):
            on, off = self.thresholds(label)
            if not 0 <= off <= on <= 1:
                of = f" of {label}" if label else ""
                raise ValueError(f"thresholds{of}: off {off}, on {on}: wanted 0 <= off <= on <= 1")
        if min(self.least_seconds, self.cooldown_seconds) < 0:
            raise ValueError(
                f"least_seconds {self.least_seconds} and cooldown_seconds "
                f"{self.cooldown_seconds} must not be negative"
            )

    def thresholds(self, label: str | None) -> tuple[float, float]:
        """On and off of a class; None is a class without thresholds of its own."""
        on = self.on if label is None else self.on_of.get(label, self.on)
        if label is not None and label in self.off_of:
            return on, self.off_of[label]
        if self.off is None:
            return on, on * USUAL_OFF
        return on, min(self.off, on) if label in self.on_of else self.off

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuse names of classes that there are not.

        Raises:
            UsageError: naming the class, and what may be meant.
        """
        for label in (*self.on_of, *self.off_of, *self.background):
            if label not in class_names:
                raise UsageError(no_such_class(label, class_names))


def no_such_class(label: str, class_names: Sequence[str]) -> str:
    """The line about a name that no class has, and what may be meant."""
    hint = near_miss(label, list(class_names)) or f"; known: {', '.join(class_names)}"
    return f"there is no class {label!r}{hint}"


class Event(NamedTuple):
    """Something began, or has ended.

    Attributes:
        kind: `begin`, once it has lasted long enough; `end`.
        segment: what is known of it: until now, or the whole; its score is the mean probability.
        seconds: the moment in the stream at which it is reported.
        peak: the highest probability so far.
    """

    kind: Literal["begin", "end"]
    segment: Segment
    seconds: float
    peak: float


def ended(events: Iterable[Event]) -> list[Segment]:
    """The segments that are whole."""
    return [event.segment for event in events if event.kind == "end"]


class EventDetector:
    """Watches the probabilities of every class, each by itself (J: the classes that are watched).

    Args:
        class_names: in the order of the scores.
        rules: see there.
        span_seconds: time that a sample stands for, half of it before its moment.

    Raises:
        UsageError: if the rules name a class that there is not.
    """

    def __init__(self, class_names: Sequence[str], rules: EventRules, span_seconds: float) -> None:
        rules.check_classes(class_names)
        self._rules, self._half_span = rules, span_seconds / 2
        watched = [k for k, label in enumerate(class_names) if label not in rules.background]
        self._labels = [class_names[k] for k in watched]
        self._watched_J = np.array(watched, dtype=int)
        pairs = [rules.thresholds(label) for label in self._labels]
        self._on_J, self._off_J = np.array(pairs, dtype=float).reshape(-1, 2).T
        count = len(watched)
        self._runs_J, self._reported_J = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self._start_J, self._end_J = np.zeros(count), np.zeros(count)
        self._total_J, self._samples_J, self._peak_J = (np.zeros(count) for _ in range(3))
        self._silent_until_J = np.zeros(count)

    def add(self, seconds: float, probs_K: NDArray[np.floating]) -> list[Event]:
        """What begins or ends with the scores of a moment; moments rise."""
        score_J = np.asarray(probs_K, dtype=float)[self._watched_J]
        start, end = seconds - self._half_span, seconds + self._half_span
        stops_J = self._runs_J & (score_J < self._off_J)
        starts_J = ~self._runs_J & (score_J >= self._on_J) & (start >= self._silent_until_J)
        ends_J = stops_J & self._reported_J
        events = {j: self._event("end", j, seconds) for j in np.flatnonzero(ends_J).tolist()}
        self._silent_until_J[ends_J] = self._end_J[ends_J] + self._rules.cooldown_seconds
        self._runs_J = (self._runs_J & ~stops_J) | starts_J
        self._reported_J &= self._runs_J & ~starts_J
        self._start_J[starts_J] = start
        for sums_J in (self._total_J, self._samples_J, self._peak_J):
            sums_J[starts_J] = 0.0
        self._end_J[self._runs_J] = end
        self._total_J += np.where(self._runs_J, score_J, 0.0)
        self._samples_J += self._runs_J
        self._peak_J = np.where(self._runs_J, np.maximum(self._peak_J, score_J), self._peak_J)
        lasted_J = self._runs_J & (end - self._start_J >= self._rules.least_seconds - 1e-9)
        begins_J = lasted_J & ~self._reported_J
        self._reported_J |= lasted_J
        events |= {j: self._event("begin", j, seconds) for j in np.flatnonzero(begins_J).tolist()}
        return [events[j] for j in sorted(events)]

    def finish(self) -> list[Event]:
        """The stream is over, or broken off: whatever lasts ends with the last moment seen."""
        lasting = np.flatnonzero(self._runs_J & self._reported_J).tolist()
        events = [self._event("end", j, float(self._end_J[j])) for j in lasting]
        self._runs_J[:] = False
        self._reported_J[:] = False
        return events

    def all_of(
        self, seconds_T: NDArray[np.floating], probs_TK: NDArray[np.floating]
    ) -> list[Event]:
        """Everything that begins and ends in a stream that is over."""
        moments = zip(seconds_T.tolist(), probs_TK, strict=True)
        events = [event for seconds, probs_K in moments for event in self.add(seconds, probs_K)]
        return events + self.finish()

    def _event(self, kind: Literal["begin", "end"], j: int, seconds: float) -> Event:
        mean = float(self._total_J[j] / self._samples_J[j])
        segment = Segment(self._labels[j], float(self._start_J[j]), float(self._end_J[j]), mean)
        return Event(kind, segment, seconds, float(self._peak_J[j]))
