"""`actionrnn live SOURCE --ckpt_path ...`: events of a stream, a JSON line each, as they happen."""

import contextlib
import json
import signal
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

from actionrnn.commands.live_outputs import Outputs, add_outputs, check_outputs
from actionrnn.commands.parsing import OPTIONAL_TEXT, options_of, verb_parser
from actionrnn.commands.trained import predictor_of
from actionrnn.commands.watch_settings import (
    add_thresholds,
    add_watch_settings,
    data_of,
    watch_settings,
)
from actionrnn.live.events import Event
from actionrnn.live.timeline import Stretches, Watching
from actionrnn.live.watch import Scored, WatchStatistics, watch
from actionrnn.process import listening, quiet_libraries
from actionrnn.progress import SECONDS_PER_LINE, tell
from actionrnn.video.sources import Source
from actionrnn.video.streams import StreamSource, open_source

TAKES_VERB = False


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def main(arguments: list[str]) -> int:
    """Watch until the source ends (0), Ctrl-C (130) or SIGTERM (143); a summary in every case."""
    options = _parse(arguments)
    settings = watch_settings(options)
    quiet_libraries()
    predictor = predictor_of(options)
    predictor.batch_size = 1 if predictor.device == "cpu" else None
    settings.rules.check_classes(predictor.class_names)
    with listening(signal.SIGTERM, _terminate):
        source = open_source(options.source, options.raw, options.retries)
        statistics = WatchStatistics()
        watching = Watching.of(predictor, settings, source, data_of(options.ckpt_path))
        backbone = predictor.backbone
        sampler = watching.sampler
        tell(f"watching {source.name}: {sampler.rate:.3g} of {source.fps:.3g} frames per second")
        drops = source.goes_on or options.realtime
        names = predictor.class_names
        outputs = Outputs(options, names, source, watching, settings, drops)
        scores = watch(
            *(source, sampler, watching.scorer, statistics),
            drops=drops, least=1, most=backbone.batch_size * backbone.num_threads,
            paced=options.realtime, seen=outputs.see,
        )  # fmt: skip
        shown = _Shown(names, options.scores, outputs)
        code = 0
        try:
            with contextlib.closing(scores):
                shown.all_of(scores, Stretches(watching.detector))
        except KeyboardInterrupt as stop:
            code = 143 if isinstance(stop, _Terminated) else 130
        finally:
            events = watching.detector.finish()
            try:
                outputs.close(events)  # first: stdout may be what went wrong
            finally:
                shown.events(events)
                tell(_summary(source, statistics, shown.num_begun, outputs))
    return code


def _parse(arguments: list[str]) -> Any:
    parser = verb_parser("live")
    source = "a file; a camera's number; rtsp://, http://, ...; - is a container on stdin"
    parser.add_argument("source", type=str, help=source)
    raw = "640x480@25: stdin brings bare rgb24 pictures"
    parser.add_argument("--raw", **OPTIONAL_TEXT, help=raw)
    add_watch_settings(parser)
    add_thresholds(parser)
    clock = "play a file, or a pipe, by the clock, as a camera: what comes too fast is dropped"
    parser.add_argument("--realtime", action="store_true", help=clock)
    add_outputs(parser)
    parser.add_argument("--scores", action="store_true", help="a line for every sample too")
    parser.add_argument("--retries", type=int, default=10, help="attempts to connect again")
    options = options_of(parser, arguments)
    check_outputs(options)
    return options


class _Shown:
    """Prints lines of JSON on stdout, and now and then how it goes on stderr."""

    def __init__(self, class_names: list[str], scores: bool, outputs: Outputs) -> None:
        self._class_names, self._scores, self._outputs = class_names, scores, outputs
        self._last_line = time.monotonic()
        self.num_begun = 0

    def all_of(self, scores: Iterable[Scored], stretches: Stretches) -> None:
        """Everything until the source ends."""
        for scored in scores:
            if self._scores:
                probs = scored.probs_K.round(6).tolist()
                self._line("scores", scored.seconds, probabilities=dict(self._named(probs)))
            events = stretches.add(scored)
            self.events(events)
            self._outputs.judge(scored, events)
            if time.monotonic() - self._last_line > SECONDS_PER_LINE:
                self._last_line = time.monotonic()
                label, probability = max(self._named(scored.probs_K), key=lambda each: each[1])
                tell(f"{scored.seconds:.1f} s: {label} {probability:.2f}")

    def events(self, events: list[Event]) -> None:
        """A line for each."""
        for event in events:
            self.num_begun += event.kind == "begin"
            segment = event.segment
            end = {"end": round(segment.end_seconds, 3)} if event.kind == "end" else {}
            self._line(
                event.kind, event.seconds, label=segment.label,
                start=round(segment.start_seconds, 3), **end,
                score=round(segment.score, 4), peak=round(event.peak, 4),
                **self._outputs.clip_of(event),
            )  # fmt: skip

    def _named(self, probs: Any) -> Iterator[tuple[str, float]]:
        return zip(self._class_names, probs, strict=True)

    def _line(self, kind: str, seconds: float, **values: Any) -> None:
        print(json.dumps({"event": kind, "seconds": round(seconds, 3), **values}), flush=True)


def _summary(source: Source, statistics: WatchStatistics, num_events: int, outputs: Outputs) -> str:
    done = statistics
    words = [
        f"{done.video_seconds:.1f} s of {source.name} in {done.wall_seconds:.1f} s: "
        f"{done.num_frames} frames, {done.num_scored} scored, {done.num_dropped} dropped, "
        f"{num_events} events"
    ]
    if done.num_scored:
        p50, p95 = (1000 * done.latency_seconds(percent) for percent in (50, 95))
        words.append(f"latency p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    if isinstance(source, StreamSource) and (source.num_losses or source.num_damaged):
        words.append(
            f"connection lost {source.num_losses} times, {source.num_damaged} packets damaged"
        )
    if outputs.recorder and outputs.recorder.num_dropped:
        words.append(f"{outputs.recorder.num_dropped} frames were not recorded")
    return "; ".join(words)


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends it as Ctrl-C does."""
    raise _Terminated
