"""From flickering scores to events that begin and end."""

from collections.abc import Sequence
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
                hint = near_miss(label, list(class_names)) or f"; known: {', '.join(class_names)}"
                raise UsageError(f"there is no class {label!r}{hint}")


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


class _Running(NamedTuple):
    """A class above its threshold: since when, and its scores so far."""

    start_seconds: float
    end_seconds: float
    total: float = 0.0
    num_samples: int = 0
    peak: float = 0.0
    reported: bool = False

    def event(self, kind: Literal["begin", "end"], label: str, seconds: float) -> Event:
        segment = Segment(
            label, self.start_seconds, self.end_seconds, self.total / self.num_samples
        )
        return Event(kind, segment, seconds, self.peak)


class EventDetector:
    """Watches the probabilities of every class, each by itself.

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
        self._labels = [
            (k, label) for k, label in enumerate(class_names) if label not in rules.background
        ]
        self._thresholds = {label: rules.thresholds(label) for _, label in self._labels}
        self._running: dict[str, _Running] = {}
        self._silent_until: dict[str, float] = {}

    def add(self, seconds: float, probs_K: NDArray[np.floating]) -> list[Event]:
        """What begins or ends with the scores of a moment; moments rise."""
        events = []
        for k, label in self._labels:
            event = self._watch(label, seconds, float(probs_K[k]))
            events += [event] if event else []
        return events

    def finish(self) -> list[Event]:
        """The stream is over, or broken off: whatever lasts ends with the last moment seen."""
        events = [
            running.event("end", label, running.end_seconds)
            for label, running in self._running.items()
            if running.reported
        ]
        self._running.clear()
        return events

    def _watch(self, label: str, seconds: float, probability: float) -> Event | None:
        on, off = self._thresholds[label]
        start, end = seconds - self._half_span, seconds + self._half_span
        running = self._running.get(label)
        if running is None:
            if probability < on or start < self._silent_until.get(label, 0.0):
                return None
            running = _Running(start, end)
        elif probability < off:
            del self._running[label]
            if not running.reported:
                return None
            self._silent_until[label] = running.end_seconds + self._rules.cooldown_seconds
            return running.event("end", label, seconds)
        lasted = end - running.start_seconds >= self._rules.least_seconds - 1e-9
        begins = lasted and not running.reported
        self._running[label] = running = running._replace(
            end_seconds=end,
            total=running.total + probability,
            num_samples=running.num_samples + 1,
            peak=max(running.peak, probability),
            reported=lasted or running.reported,
        )
        return running.event("begin", label, seconds) if begins else None
