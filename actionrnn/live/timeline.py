"""A long video as a whole: probabilities over time, and the segments in which things happen."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrnn.errors import UsageError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.segments import Segment
from actionrnn.evaluation.timelines import SECONDS_PER_HOUR
from actionrnn.live.events import Event, EventDetector, EventRules, ended
from actionrnn.live.history import HistoryName
from actionrnn.live.rate import sampling_rate
from actionrnn.live.sampler import RateSampler
from actionrnn.live.watch import Scored, Scorer, WatchStatistics, watch
from actionrnn.progress import progress
from actionrnn.video.errors import VideoUnreadable
from actionrnn.video.sources import FileSource, Source


@dataclass(frozen=True)
class WatchSettings:
    """How a stream, or a long video, is watched.

    Attributes:
        history: how far back a score looks; see `live.history`.
        history_seconds: how far; None is as long as the clips of the training.
        fps: samples per second; None is the rate of the training.
        rules: what makes an event.
    """

    history: HistoryName = "restart"
    history_seconds: float | None = None
    fps: float | None = None
    rules: EventRules = field(default_factory=EventRules)


@dataclass(frozen=True)
class Watching:
    """Everything that turns a source into scores and events, set up for it."""

    sampler: RateSampler
    scorer: Scorer
    detector: EventDetector

    @classmethod
    def of(
        cls,
        predictor: ActionPredictor,
        settings: WatchSettings,
        source: Source,
        data: dict[str, Any],
    ) -> "Watching":
        """Set up.

        Args:
            predictor: backbone and head.
            settings: how.
            source: open.
            data: the checkpoint's settings of its data.

        Raises:
            UsageError: for settings that cannot be.
        """
        trained = predictor.spec.settings
        rate = sampling_rate(trained.sampling, source.fps, data, settings.fps)
        num_frames = trained.sampling.num_frames
        if settings.history_seconds is not None:
            num_frames = round(settings.history_seconds * rate)
            if num_frames < 1:
                raise UsageError(
                    f"--history_seconds {settings.history_seconds:g}: at {rate:.3g} frames per "
                    f"second one frame needs {1 / rate:.3g}"
                )
        sampler = RateSampler(rate, trained.transform)
        return cls(
            sampler,
            Scorer(predictor, settings.history, num_frames),
            EventDetector(predictor.class_names, settings.rules, sampler.span_seconds),
        )


class Stretches:
    """Events of scores whose stream may break off: what lasted then has ended."""

    def __init__(self, detector: EventDetector) -> None:
        self._detector = detector
        self._stretch: int | None = None

    def add(self, scored: Scored) -> list[Event]:
        """What begins or ends with the next scores."""
        events = []
        if self._stretch not in (None, scored.stretch):
            events = self._detector.finish()
        self._stretch = scored.stretch
        return events + self._detector.add(scored.seconds, scored.probs_K)


@dataclass(frozen=True)
class Timeline:
    """What happens when in a video.

    Attributes:
        path: the file.
        class_names: in the order of the probabilities.
        seconds_T: moments, each the middle of `span_seconds`.
        probs_TK: float64 probabilities there.
        span_seconds: from a moment to the next.
        segments: events that have ended, in the order in which they began.
        statistics: how it went.
    """

    path: str
    class_names: list[str]
    seconds_T: NDArray[np.float64]
    probs_TK: NDArray[np.float64]
    span_seconds: float
    segments: list[Segment]
    statistics: WatchStatistics

    @property
    def cost(self) -> float:
        """Seconds of work per hour of video."""
        watched = max(self.statistics.video_seconds, 1e-9)
        return SECONDS_PER_HOUR * self.statistics.wall_seconds / watched

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "path": self.path,
            "segments": [segment._asdict() for segment in self.segments],
            "class_names": self.class_names,
            "span_seconds": self.span_seconds,
            "seconds": self.seconds_T.round(6).tolist(),
            "probabilities": self.probs_TK.round(6).tolist(),
            **self.statistics.to_dict(),
            "seconds_per_hour_of_video": round(self.cost, 1),
        }


def timeline_of(
    predictor: ActionPredictor, path: str, settings: WatchSettings, data: dict[str, Any]
) -> Timeline:
    """Watch a whole video file; see `Watching.of`.

    Raises:
        VideoError: if it cannot be read.
        UsageError: if the head cannot watch a stream, or for settings that cannot be.
    """
    statistics = WatchStatistics()
    source = FileSource(path)
    watching = Watching.of(predictor, settings, source, data)
    at_once = predictor.backbone.batch_size * predictor.backbone.num_threads
    scores = watch(
        *(source, watching.sampler, watching.scorer, statistics),
        drops=False, least=at_once, most=at_once,
    )  # fmt: skip
    stretches = Stretches(watching.detector)
    events: list[Event] = []
    seconds, probs = [], []
    for scored in progress(scores, round(source.seconds * watching.sampler.rate), "timeline"):
        seconds.append(scored.seconds)
        probs.append(scored.probs_K)
        events += stretches.add(scored)
    events += watching.detector.finish()
    if not probs:
        raise VideoUnreadable(path, "not one frame came")
    return Timeline(
        path,
        predictor.class_names,
        np.array(seconds),
        np.stack(probs),
        watching.sampler.span_seconds,
        sorted(ended(events), key=lambda each: (each.start_seconds, each.label)),
        statistics,
    )
