"""Fitted thresholds: planted scores are recovered, rates are kept, more alarms never raise one."""

from pathlib import Path

import numpy as np
import pytest

from actionrnn.errors import DataRejected
from actionrnn.evaluation.segments import Segment
from actionrnn.live.events import EventRules
from actionrnn.live.fitted import FittedEvents, fit_events, read_streams
from actionrnn.live.thresholds import (
    Recording,
    allowed,
    candidates,
    choose,
    count_candidates,
    left_out,
)

NAMES = ["rest", "wave", "fall"]
RULES = EventRules(least_seconds=1.0, background=("rest",))


def recording(seed: int, noise: float, planted: float = 0.8, seconds: int = 240) -> Recording:
    """A moment a second; each class happens twice, five seconds long, with planted scores."""
    rng = np.random.default_rng(seed)
    probs = np.abs(rng.normal(0, noise, (seconds, 3))).clip(0, 1)
    truth = []
    for k, label in enumerate(NAMES[1:], start=1):
        for start in rng.choice(np.arange(5, seconds - 10, 20), 2, replace=False).tolist():
            probs[start : start + 5, k] = planted + rng.uniform(-0.05, 0.05, 5)
            truth.append(Segment(label, start, start + 5))
    return Recording(np.arange(seconds) + 0.5, probs.clip(0, 0.99), 1.0, truth)


def test_planted_scores_are_recovered_without_a_false_alarm() -> None:
    recordings = [recording(seed, 0.08) for seed in range(4)]
    classes, here, apart = fit_events(recordings, NAMES, RULES, 0.0, 1.0)
    assert [each.label for each in classes] == ["wave", "fall"]
    for each in classes:
        assert 0.35 < each.on < 0.75, "in the middle between the two"
        assert 0 < each.off < each.on
        assert (each.num_true, each.num_found, each.num_false) == (8, 8, 0)
    assert (here.recall, here.per_hour) == (1.0, 0.0)
    assert apart is not None
    assert apart.recall > 0.9
    assert apart.num_false == 0
    assert apart.recall_interval is not None
    assert apart.per_hour_interval is not None
    assert apart.recall_interval.low < 0.9 < apart.recall_interval.high
    hours = 4 * 240 / 3600
    assert apart.per_hour_interval.high > 3 / hours, "no alarm in so little is no proof of none"


@pytest.mark.parametrize("seed", range(2))
def test_a_higher_rate_never_raises_a_threshold_and_is_kept(seed: int) -> None:
    recordings = [recording(10 * seed + n, 0.2, planted=0.6) for n in range(3)]
    counts = count_candidates(recordings, NAMES, RULES, 1.0)
    rows = np.ones(3, dtype=bool)
    before: dict[str, int] = {}
    most_found = 0
    for most_false in range(25):
        chosen = choose(counts, rows, most_false)
        found = sum(int(counts[k].found_RC[:, c].sum()) for k, c in chosen.items())
        false = sum(int(counts[k].false_RC[:, c].sum()) for k, c in chosen.items())
        assert false <= most_false
        assert found >= most_found
        assert all(c >= before.get(label, 0) for label, c in chosen.items())
        before, most_found = chosen, found
    assert most_found > 0


def test_left_out_recordings_have_no_say_in_their_thresholds() -> None:
    recordings = [recording(seed, 0.08) for seed in range(3)]
    loud = recording(3, 0.08)
    loud.probs_TK[100:103, 1] = 0.98
    loud.truth[:] = [each for each in loud.truth if each.label == "fall"]
    counts = count_candidates([*recordings, loud], NAMES, RULES, 1.0)
    seconds = np.full(4, 240.0)
    _, false_R = left_out(counts, seconds, 0.0)
    assert false_R[:3].sum() == 0
    assert false_R[3] >= 1
    chosen = choose(counts, np.ones(4, dtype=bool), 0)
    assert counts["wave"].false_RC[:, chosen["wave"]].sum() == 0


def test_candidates_fall_from_above_every_score() -> None:
    scores = np.array([0.1, 0.5, 0.2, 0.9, 0.9, 0.3])
    found = candidates(scores)
    assert (np.diff(found) < 0).all()
    assert found[0] > 0.9
    assert any(0.5 < each < 0.9 for each in found)
    assert len(candidates(np.random.default_rng(0).random(5000))) < 70
    assert candidates(np.full(3, 0.2)).tolist() == [0.6, 3 / 16, 2 / 16, 1 / 16]


def test_a_rate_allows_whole_alarms() -> None:
    assert [allowed(rate, 1800) for rate in (0, 1.9, 2.0, 6.0)] == [0, 0, 1, 3]


def test_too_little_video_is_said(tmp_path: Path) -> None:
    classes, here, apart = fit_events([recording(0, 0.08)], NAMES, RULES, 1.0, 1.0)
    assert apart is None

    def fitted(rate: float, hours: float) -> FittedEvents:
        return FittedEvents("sha", "restart", None, None, 1.0, 0.0, ["rest"], 1.0, rate, hours, 1,
                            classes, here, apart)  # fmt: skip

    assert "up to 1.5 per hour" in fitted(1.0, 2.0).too_little
    assert "watch 3 h" in fitted(1.0, 2.0).too_little
    assert fitted(1.0, 3.0).too_little == ""
    assert "0 false alarms" in fitted(0.0, 2.0).too_little


def test_streams_are_read_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    table = tmp_path / "streams.csv"
    table.write_text("video,start,end,label\na.mp4,1.5,2,wave\na.mp4,7,9,fall\nb.mp4,,,\n")
    found = read_streams(table, NAMES)
    waves = [Segment("wave", 1.5, 2.0), Segment("fall", 7.0, 9.0)]
    assert found == {tmp_path / "a.mp4": waves, tmp_path / "b.mp4": []}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.mp4,1,2,wawe", "line 2: there is no class 'wawe'; did you mean wave"),
        ("a.mp4,2,1,wave", "line 2: start '2' and end '1' must be seconds"),
        ("a.mp4,0:10,1,wave", "0 <= start < end"),
        ("a.mp4,1,2", "there is no class ''"),
        ("gone.mp4,1,2,wave", "there is no video"),
    ],
)
def test_wrong_rows_are_refused_with_their_line(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "a.mp4").touch()
    table = tmp_path / "streams.csv"
    table.write_text(f"video,start,end,label\n{row}\n")
    with pytest.raises(DataRejected, match=message):
        read_streams(table, NAMES)
    table.write_text("file,begin\n")
    with pytest.raises(DataRejected, match="no column video, start, end, label"):
        read_streams(table, NAMES)
    table.write_text("video,start,end,label\n")
    with pytest.raises(DataRejected, match="not one video"):
        read_streams(table, NAMES)
