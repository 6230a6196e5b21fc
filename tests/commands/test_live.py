"""`actionrnn live` and `actionrnn timeline`: what they print, write, refuse, and how they end."""

import csv
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.diagnosis.calibration import store_temperature
from actionrnn.evaluation.segments import Segment
from actionrnn.live.timeline_files import segments_csv, srt, webvtt
from actionrnn.models.config import HeadConfig
from actionrnn.video.reader import open_video

LOW = ["--on", "0.01", "--min_seconds", "0", "--fps", "10", "--device", "cpu"]


@pytest.fixture
def ckpt(tiny_run: Path) -> str:
    return str(tiny_run / "checkpoints" / "best.ckpt")


@pytest.fixture(scope="module")
def video(tiny_data: Path) -> str:
    return str(Manifest.load(tiny_data).video_paths()[0])


def test_live_prints_events_and_scores_and_says_how_it_went(
    ckpt: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--save", str(tmp_path / "clips"), "--annotate", str(tmp_path / "film.mp4")]
    words = ["live", video, "--ckpt_path", ckpt, "--scores", "--preview", "0", *files, *LOW]
    assert main(words) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    by_kind = {
        kind: [x for x in lines if x["event"] == kind] for kind in ("scores", "begin", "end")
    }
    assert sum(by_kind["scores"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert len(by_kind["begin"]) == len(by_kind["end"]) > 0
    for end in by_kind["end"]:
        assert end["start"] < end["end"]
        assert 0 < end["score"] <= end["peak"] <= 1
        assert Path(end["clip"]).is_file()
    assert f"{len(by_kind['scores'])} scored, 0 dropped" in captured.err
    assert len(list((tmp_path / "clips").iterdir())) == len(by_kind["end"])
    with open_video(tmp_path / "film.mp4") as film, open_video(video) as watched:
        assert film.num_frames == watched.num_frames
    assert "preview: http://127.0.0.1:" in captured.err
    assert "latency p50" in captured.err


def test_timeline_writes_every_format_and_agrees_with_live(
    ckpt: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", video, "--ckpt_path", ckpt, "--scores", *LOW]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    words = ["timeline", video, "--ckpt_path", ckpt, "--output_dir", str(tmp_path), *LOW]
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert "s per hour of video" in captured.err
    stem = Path(video).stem
    endings = ["frames.csv", "frames.parquet", "html", "json", "png", "segments.csv", "srt", "vtt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stem}.{e}" for e in endings]
    live = [list(x["probabilities"].values()) for x in lines if x["event"] == "scores"]
    assert found["probabilities"] == [pytest.approx(row, abs=2e-5) for row in live]
    ends = sorted((x["start"], x["label"], x["end"]) for x in lines if x["event"] == "end")
    segments = sorted((s["start_seconds"], s["label"], s["end_seconds"]) for s in found["segments"])
    assert len(segments) == len(ends) > 0
    for ours, theirs in zip(segments, ends, strict=True):
        assert ours[1] == theirs[1]
        assert (ours[0], ours[2]) == pytest.approx((theirs[0], theirs[2]), abs=1e-3)
    table = pd.read_parquet(tmp_path / f"{stem}.frames.parquet")
    assert list(table.columns) == ["seconds", *found["class_names"]]
    assert table["seconds"].tolist() == pytest.approx(found["seconds"])
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / f"{stem}.frames.csv"), table, rtol=1e-4, check_dtype=False
    )
    rows = list(csv.DictReader((tmp_path / f"{stem}.segments.csv").open()))
    assert len(rows) == len(segments)


def test_timeline_prints_a_table_and_goes_on_after_a_bad_file(
    ckpt: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    words = ["timeline", str(bad), video, "--ckpt_path", ckpt, "--output_dir", str(tmp_path / "o")]
    assert main([*words, "--formats", "srt", *LOW]) == 1
    captured = capsys.readouterr()
    assert "start s" in captured.out
    assert "this is text, not a video" in captured.err
    assert "1 of 2 videos could not be read" in captured.err
    assert [path.suffix for path in (tmp_path / "o").iterdir()] == [".srt"]


def test_nothing_found_says_what_came_nearest(
    ckpt: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["timeline", video, "--ckpt_path", ckpt, "--output_dir", str(tmp_path), "--fps", "10"]
    assert main([*words, "--on", "1.0", "--formats", "vtt"]) == 0
    assert "lower --on" in capsys.readouterr().out
    assert (tmp_path / f"{Path(video).stem}.vtt").read_text().startswith("WEBVTT")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--on", "high"], "--on high: wanted 0.6, or CLASS=0.6"),
        (["--on", "0.3", "--off", "0.5"], "off <= on"),
        (["--background", "nothing"], "there is no class 'nothing'"),
        (["--history_seconds", "0.01", "--fps", "10"], "one frame needs 0.1"),
        (["--histroy", "whole"], "did you mean history"),
        (["--raw", "6x4@10"], "give - instead"),
        (["--annotate", "film.txt"], "ends in .mp4, .mkv, .mov"),
        (["--preview", "99999"], "0 takes any port"),
    ],
)
def test_wrong_words_are_refused(
    ckpt: str, video: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", video, "--ckpt_path", ckpt, *words]) == 2
    assert message in capsys.readouterr().err


def test_fitted_thresholds_are_found_in_the_run_and_given_ones_win(
    tiny_run: Path, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = str(shutil.copytree(tiny_run, tmp_path / "run") / "checkpoints" / "best.ckpt")
    label = Manifest.load(Path(video).parents[2]).class_names[0]
    table = tmp_path / "streams.csv"
    table.write_text(f"video,start,end,label\n{video},0.1,0.5,{label}\n")
    quick = ["--fps", "10", "--device", "cpu", "--min_seconds", "0"]
    words = ["--ckpt_path", ckpt, "--streams", str(table), "--alarms_per_hour", "2", *quick]
    assert main(["calibrate", "--events", *words]) == 0
    captured = capsys.readouterr()
    assert "too little for 2 false" in captured.out
    assert "A single recording" in captured.out
    fitted = json.loads((tmp_path / "run" / "events.json").read_text())
    assert {each["label"] for each in fitted["classes"]} >= {label}
    assert fitted["fps"] == 10.0
    live = ["live", video, "--ckpt_path", ckpt, "--device", "cpu"]
    assert main([*live, "--scores"]) == 0
    captured = capsys.readouterr()
    assert "fitted for 2 false alarms per hour" in captured.err
    assert "10 of " in captured.err, "watched as in the fit"
    assert main([*live, "--history", "whole"]) == 0
    assert "fitted with other settings" in capsys.readouterr().err
    assert main([*live, "--on", "0.9"]) == 0
    assert "fitted" not in capsys.readouterr().err
    store_temperature(ckpt, 1.3)
    assert main([*live, "--fps", "10"]) == 0
    assert "for another checkpoint" in capsys.readouterr().err
    assert main([*live, "--events", str(tmp_path / "run" / "events.json")]) == 2
    assert main([*live, "--events", "gone.json"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("97", "camera 97"),
        ("rtsp://user:secret@127.0.0.1:9/x", "rtsp://127.0.0.1:9/x"),
        ("nothing.mp4", "no such file"),
    ],
)
def test_a_source_that_is_not_there(
    ckpt: str, place: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", place, "--ckpt_path", ckpt]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "secret" not in said


def test_a_head_that_cannot_step_names_what_to_train(
    ckpt: str, video: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(HeadConfig, "reads_both_ways", True)
    for verb in ("live", "timeline"):
        assert main([verb, video, "--ckpt_path", ckpt, "--fps", "10", "--device", "cpu"]) == 2
        assert "actionrnn fit ... --model.bidirectional false" in capsys.readouterr().err


def test_the_video_that_is_watched_is_not_written_over(
    ckpt: str, video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", video, "--ckpt_path", ckpt, "--annotate", video]) == 2
    assert "would replace the video" in capsys.readouterr().err


def test_a_format_that_there_is_not(
    ckpt: str, video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["timeline", video, "--ckpt_path", ckpt, "--formats", "csv,srtt"]) == 2
    assert "did you mean srt" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_a_summary(
    ckpt: str, sent: signal.Signals, code: int, interruptible_command: list[str]
) -> None:
    raw = ["--raw", "32x32@10", "--realtime", *LOW]
    with subprocess.Popen(
        [*interruptible_command, "live", "-", "--ckpt_path", ckpt, *raw],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(os.urandom(32 * 32 * 3 * 20))
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert first["event"] == "begin"
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(out.splitlines()[-1])["event"] == "end", "what lasted has ended"
    assert b"latency p50" in err
    assert b"Traceback" not in err


SEGMENTS = [Segment("a <b>\n& c", 1.0, 2.5, 0.876), Segment("d", 3661.0004, 3662, 1.0)]


def test_subtitles() -> None:
    assert srt(SEGMENTS) == (
        "1\n00:00:01,000 --> 00:00:02,500\na <b> & c 88%\n\n"
        "2\n01:01:01,000 --> 01:01:02,000\nd 100%\n"
    )
    assert webvtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\na &lt;b&gt; &amp; c 88%\n\n"
        "01:01:01.000 --> 01:01:02.000\nd 100%\n"
    )
    rows = list(csv.reader(segments_csv(SEGMENTS).splitlines(keepends=True)))
    assert rows[0] == ["label", "start_seconds", "end_seconds", "score"]
    assert rows[1] == ["a <b>\n& c", "1.000", "2.500", "0.8760"]
    assert srt([]) == ""
