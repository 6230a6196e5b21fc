"""A source is watched: decode and sample in one thread, score in another; scores come out."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.scoring import probabilities
from actionrnn.features.extract import stored_features
from actionrnn.live.history import HistoryName, make_history
from actionrnn.live.sampler import RateSampler, Sample
from actionrnn.live.waiting import WaitingLine
from actionrnn.video.sources import Frame, Source

# Samples that may wait for the backbone: less than a second of most streams.
ROOM = 8
_LATENCIES_KEPT = 10_000
_LONGEST_FAREWELL_SECONDS = 2.0


class Scored(NamedTuple):
    """Class probabilities at a moment.

    Attributes:
        seconds: the moment, the middle of the time that the sample stands for.
        probs_K: float64, summing to 1.
        stretch: see `video.sources.Frame`; a new one knows nothing of the one before.
    """

    seconds: float
    probs_K: NDArray[np.float64]
    stretch: int


@dataclass
class WatchStatistics:
    """How it went; of bounded size.

    Attributes:
        num_frames: decoded.
        num_scored: samples that got scores.
        num_dropped: samples that went unscored, because others were not done yet.
        video_seconds: time of the source that was sampled.
        latencies_seconds: of the latest samples: from when the frame had come to its scores.
    """

    num_frames: int = 0
    num_scored: int = 0
    num_dropped: int = 0
    video_seconds: float = 0.0
    latencies_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))
    started: float = field(default_factory=time.monotonic)

    @property
    def wall_seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started

    def latency_seconds(self, percent: float) -> float:
        """A percentile; NaN if nothing was scored."""
        if not self.latencies_seconds:
            return float("nan")
        return float(np.percentile(self.latencies_seconds, percent))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "frames": self.num_frames,
            "scored": self.num_scored,
            "dropped": self.num_dropped,
            "video_seconds": round(self.video_seconds, 3),
            "wall_seconds": round(self.wall_seconds, 3),
            "latency_p50_ms": round(1000 * self.latency_seconds(50), 1),
            "latency_p95_ms": round(1000 * self.latency_seconds(95), 1),
        }


class Scorer:
    """Samples in order become class probabilities; the one path of `live` and `timeline`.

    Args:
        predictor: backbone and head.
        history: how far back a score looks.
        num_frames: see `make_history`.

    Raises:
        UsageError: if the head cannot watch a stream.
    """

    def __init__(self, predictor: ActionPredictor, history: HistoryName, num_frames: int) -> None:
        self._predictor = predictor
        self._begin = partial(make_history, predictor.recognizer.head, history, num_frames)
        self._history = self._begin()
        self._stretch: int | None = None

    @torch.inference_mode()
    def __call__(self, samples: list[Sample]) -> list[Scored]:
        """Probabilities of each sample, averaged over its spatial views."""
        pictures_STCHW = torch.stack([sample.pictures_SCHW for sample in samples], dim=1)
        predictor = self._predictor
        features_STD = stored_features(
            predictor.backbone, pictures_STCHW, predictor.spec.settings
        ).float()
        features_STD = features_STD.to(predictor.device)
        scored = []
        for t, sample in enumerate(samples):
            if sample.stretch != self._stretch:
                self._history = self._begin()
                self._stretch = sample.stretch
            logits_SK = self._history(features_STD[:, t]).cpu()
            probs_K = probabilities(predictor.recognizer, logits_SK[None])[0].numpy()
            scored.append(Scored(sample.seconds, probs_K, sample.stretch))
        return scored


def watch(
    source: Source,
    sampler: RateSampler,
    scorer: Scorer,
    statistics: WatchStatistics,
    *,
    drops: bool,
    least: int,
    most: int,
    paced: bool = False,
    seen: Callable[[Frame], None] | None = None,
) -> Generator[Scored, None, None]:
    """Scores of a source as they come; leaving the loop stops it.

    Args:
        source: the frames.
        sampler: which of them.
        scorer: what they mean.
        statistics: kept up to date.
        drops: the oldest waiting samples go where scoring does not keep up; else the source waits.
        least, most: samples that are scored at once.
        paced: a frame comes when its time has, as from a camera.
        seen: is told every frame before it is sampled, in the source's thread.

    Raises:
        VideoError: if the source cannot be read, after the scores of what came before.
    """
    line: WaitingLine[Sample] = WaitingLine(max(ROOM, most), drops)

    def bring() -> None:
        started = time.monotonic()
        try:
            for frame in source.frames():
                early = started + frame.seconds - time.monotonic()
                if paced and source.stopped.wait(max(0.0, early)):
                    break
                statistics.num_frames += 1
                if seen is not None:
                    seen(frame)
                if not all(map(line.put, sampler.add(frame))):
                    return
            else:
                if not all(map(line.put, sampler.finish())):
                    return
            line.close()
        except BaseException as error:  # of this thread; it is raised where scores are taken
            line.close(error)

    thread = threading.Thread(target=bring, name="source", daemon=True)
    thread.start()
    try:
        while samples := line.take(least, most):
            for sample, scored in zip(samples, scorer(samples), strict=True):
                statistics.num_scored += 1
                statistics.latencies_seconds.append(time.monotonic() - sample.arrived)
                statistics.video_seconds = sample.seconds + sampler.span_seconds / 2
                statistics.num_dropped = line.num_dropped
                yield scored
    finally:
        source.stopped.set()
        line.close()
        thread.join(_LONGEST_FAREWELL_SECONDS)
