"""The figures of recordings: known answers, and intervals over recordings."""

import dataclasses

import numpy as np
import pytest

from actionrnn.evaluation.segments import Segment
from actionrnn.evaluation.timeline_summary import HEADLINES, ScoredRecording, summarise_timelines
from actionrnn.evaluation.timelines import Alarm
from actionrnn.report.timeline_summary import timeline_summary_screen

CLASSES = ["rest", "jump", "run"]


def recording(number: int, late: float = 0.0, error: str = "") -> ScoredRecording:
    """Ten seconds at one step a second: a jump at 2 to 4 s and a run at 6 to 9 s, found `late`."""
    label_T = np.array([0, 0, 1, 1, 0, 0, 2, 2, 2, 0])
    shown = np.roll(label_T, round(late))
    found = [Segment("jump", 2 + late, 4 + late, 0.9), Segment("run", 6 + late, 9 + late, 0.9)]
    return ScoredRecording(
        video_id=f"{number}",
        group=number,
        seconds=10.0,
        truth=[Segment("jump", 2, 4), Segment("run", 6, 9)],
        found=[] if error else found,
        alarms=[] if error else [Alarm(each.label, each.start_seconds + 0.5) for each in found],
        label_T=label_T,
        probs_TK=np.eye(3)[np.zeros(10, int) if error else shown] * 0.8 + 0.1,
        error=error,
    )


def test_a_perfect_timeline() -> None:
    found = summarise_timelines([recording(n) for n in range(4)], CLASSES, "test", False)
    values = {key: each.value for key, each in found.figures.items()}
    assert values.pop("onset_seconds") == 0.5
    assert values.pop("false_alarms_per_hour") == 0
    assert values == dict.fromkeys(values, 1.0)
    assert set(found.figures) == set(HEADLINES)
    assert found.num_segments == 8
    assert found.hours == pytest.approx(40 / 3600)


def test_late_and_unreadable_recordings_cost() -> None:
    mixed = [recording(0), recording(1, late=2.0), recording(2, error="cut"), recording(3)]
    found = summarise_timelines(mixed, CLASSES, "test", True)
    values = {key: each.value for key, each in found.figures.items()}
    assert found.num_unreadable == 1
    assert values["segment_f1_50"] == pytest.approx(2 * 4 / (6 + 8)), "a third overlaps no half"
    assert values["edit"] == 0.75
    assert values["found"] == 5 / 8, "the late jump is reported after its end"
    assert values["onset_seconds"] == 0.5
    assert values["false_alarms_per_hour"] == pytest.approx(1 * 3600 / 40)
    assert 0 < values["frame_map"] < 1
    interval = found.figures["frame_map"].interval
    assert interval is not None
    assert interval.low < values["frame_map"] < interval.high
    plain = found.to_dict()
    assert plain["intervals"]["found"][0] < 5 / 8 < plain["intervals"]["found"][1]
    screen = timeline_summary_screen(found)
    assert "1 unreadable, in which nothing is found" in str(screen)
    assert "LEAKED" in screen.alarm


def test_recordings_without_events() -> None:
    quiet = [
        dataclasses.replace(
            recording(n), truth=[], found=[], alarms=[], label_T=np.zeros(10, np.int64)
        )
        for n in range(3)
    ]
    found = summarise_timelines(quiet, CLASSES, "test", False).to_dict()
    assert found["frame_map"] is None
    assert found["found"] is None
    assert found["edit"] == 1
    assert found["false_alarms_per_hour"] == 0
    assert found["per_class"][0] == {"label": "jump", "segments": 0, "frame_ap": None}
