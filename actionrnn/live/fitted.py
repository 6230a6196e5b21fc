"""Fitted thresholds as a file: how they were fitted, for which model, and what they achieve."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from actionrnn.errors import DataRejected
from actionrnn.evaluation.intervals import Interval, draw_weights, figure, rate_interval, too_few
from actionrnn.evaluation.records import load_record
from actionrnn.evaluation.segments import Segment
from actionrnn.evaluation.timelines import SECONDS_PER_HOUR
from actionrnn.live.events import EventRules, no_such_class
from actionrnn.live.history import HistoryName
from actionrnn.live.thresholds import Recording, allowed, choose, count_candidates, left_out

EVENTS_NAME = "events.json"
COMMAND = "actionrnn calibrate --events --ckpt_path RUN --streams FILE.csv --alarms_per_hour N"
COLUMNS = ["video", "start", "end", "label"]
# Without an event in H hours a rate of 3 / H is still possible, at a confidence of 95 %.
RULE_OF_THREE = 3.0


@dataclass(frozen=True)
class ClassThresholds:
    """A class: its thresholds, and what they do on the recordings they were fitted to."""

    label: str
    on: float
    off: float
    num_true: int
    num_found: int
    num_false: int


@dataclass(frozen=True)
class Achieved:
    """Segments found and false alarms, over recordings.

    Attributes:
        num_true, num_found, num_false: counts.
        recall: share of the segments that were reported; NaN if there are none.
        per_hour: false alarms.
        recall_interval, per_hour_interval: over recordings; None where they are too few.
    """

    num_true: int
    num_found: int
    num_false: int
    recall: float
    recall_interval: Interval | None
    per_hour: float
    per_hour_interval: Interval | None


@dataclass(frozen=True)
class FittedEvents:
    """Thresholds, everything that they hold for, and what they achieve.

    Attributes:
        checkpoint: SHA-256 of the file.
        history, history_seconds, fps: how streams were watched; None is as in the training.
        least_seconds, cooldown_seconds, background: see `EventRules`.
        tolerance_seconds: an alarm so soon after a segment's end was still its own.
        wanted_per_hour: false alarms, of all classes together.
        hours, num_recordings: watched.
        classes: thresholds.
        here: on the recordings of the fit.
        left_out: each recording with thresholds fitted to the others; None for a single one.
    """

    checkpoint: str
    history: HistoryName
    history_seconds: float | None
    fps: float | None
    least_seconds: float
    cooldown_seconds: float
    background: list[str]
    tolerance_seconds: float
    wanted_per_hour: float
    hours: float
    num_recordings: int
    classes: list[ClassThresholds]
    here: Achieved
    left_out: Achieved | None

    @classmethod
    def load(cls, file: Path) -> "FittedEvents":
        """Read what `calibrate --events` wrote.

        Raises:
            ActionRNNError: if it is missing or damaged.
        """
        return load_record(cls, file, COMMAND)

    @property
    def too_little(self) -> str:
        """Why the recordings cannot tell the wanted rate from none; empty if they can."""
        open_rate = RULE_OF_THREE / self.hours
        if self.wanted_per_hour >= open_rate:
            return ""
        need = f"watch {RULE_OF_THREE / self.wanted_per_hour:.3g} h" if self.wanted_per_hour else ""
        return (
            f"{self.hours:.3g} h of streams are too little for {self.wanted_per_hour:g} false "
            f"alarms per hour: without a single one in them, up to {open_rate:.2g} per hour would "
            f"still be no surprise (3 / hours, 95 %){'; ' + need if need else ''}"
        )


def fit_events(
    recordings: Sequence[Recording],
    class_names: Sequence[str],
    rules: EventRules,
    alarms_per_hour: float,
    tolerance_seconds: float,
) -> tuple[list[ClassThresholds], Achieved, Achieved | None]:
    """Thresholds for a rate of false alarms; what they do here, and on recordings left out.

    Args:
        recordings, class_names, rules, tolerance_seconds: see `count_candidates`.
        alarms_per_hour: of all classes together.
    """
    counts = count_candidates(recordings, class_names, rules, tolerance_seconds)
    seconds_R = np.array([each.seconds for each in recordings])
    all_R = np.ones(len(recordings), dtype=bool)
    chosen = choose(counts, all_R, allowed(alarms_per_hour, float(seconds_R.sum())))
    classes = [
        ClassThresholds(
            label,
            float(each.on_C[chosen[label]]),
            float(each.on_C[chosen[label]] * each.off_share),
            int(each.true_R.sum()),
            int(each.found_RC[:, chosen[label]].sum()),
            int(each.false_RC[:, chosen[label]].sum()),
        )
        for label, each in counts.items()
    ]
    zeros_R = np.zeros(len(recordings), dtype=int)
    true_R = sum((each.true_R for each in counts.values()), zeros_R)
    found_R = sum((counts[k].found_RC[:, c] for k, c in chosen.items()), zeros_R)
    false_R = sum((counts[k].false_RC[:, c] for k, c in chosen.items()), zeros_R)
    here = _achieved(true_R, found_R, false_R, seconds_R)
    if len(recordings) < 2:
        return classes, here, None
    apart = left_out(counts, seconds_R, alarms_per_hour)
    return classes, here, _achieved(true_R, *apart, seconds_R)


def _achieved(
    true_R: NDArray[np.int64],
    found_R: NDArray[np.int64],
    false_R: NDArray[np.int64],
    seconds_R: NDArray[np.float64],
) -> Achieved:
    count = len(true_R)
    num_true, num_found, num_false = (int(each.sum()) for each in (true_R, found_R, false_R))
    seconds = float(seconds_R.sum())
    recall = num_found / num_true if num_true else math.nan
    recall_interval = per_hour_interval = None
    if not too_few(count):
        weights_DR = draw_weights(count)
        true_D, found_D, false_D, seconds_D = (
            weights_DR @ torch.from_numpy(each).double()
            for each in (true_R, found_R, false_R, seconds_R)
        )
        if num_true:
            recall_interval = figure(recall, found_D / true_D, count, num_true).interval
        draws_D = SECONDS_PER_HOUR * false_D / seconds_D
        per_hour_interval = rate_interval(num_false, seconds, draws_D, count)
    rate = SECONDS_PER_HOUR * num_false / seconds
    return Achieved(num_true, num_found, num_false, recall, recall_interval, rate,
                    per_hour_interval)  # fmt: skip


def read_streams(file: Path, class_names: Sequence[str]) -> dict[Path, list[Segment]]:
    """Videos and their true segments, from a table `video,start,end,label`.

    Videos lie relative to the table, times are in seconds. A row with a video alone is one in which
    nothing happens.

    Raises:
        DataRejected: naming the line and what is wrong with it.
    """
    found: dict[Path, list[Segment]] = {}
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or [])]:
            raise DataRejected(
                f"{file}: no column {', '.join(missing)}; wanted a first line {','.join(COLUMNS)}"
            )
        for row in rows:
            place = f"{file}, line {rows.line_num}"
            video = file.parent / (row["video"] or "")
            if not row["video"] or not video.exists():
                raise DataRejected(f"{place}: there is no video {str(video)!r}")
            segments = found.setdefault(video, [])
            if row["label"] or row["start"] or row["end"]:
                segments.append(_segment(row, place, class_names))
    if not found:
        raise DataRejected(f"{file}: not one video is in it")
    return found


def _segment(row: dict[str, str], place: str, class_names: Sequence[str]) -> Segment:
    label = row["label"] or ""
    if label not in class_names:
        raise DataRejected(f"{place}: {no_such_class(label, class_names)}")
    try:
        start, end = float(row["start"] or "?"), float(row["end"] or "?")
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end < math.inf:
        raise DataRejected(
            f"{place}: start {row['start']!r} and end {row['end']!r} must be seconds, "
            f"0 <= start < end"
        )
    return Segment(label, start, end)
