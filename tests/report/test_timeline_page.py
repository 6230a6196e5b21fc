"""The page of a timeline: all in it but the video, and a click plays the moment."""

import re
from pathlib import Path

import numpy as np
import pytest

from actionrnn.evaluation.segments import Segment
from actionrnn.live.timeline import Timeline
from actionrnn.live.watch import WatchStatistics
from actionrnn.report.html.timeline import address_of, render, write_timeline
from actionrnn.video.writer import write_video
from tests.report.test_page import CHROMIUM, browsed

NAMES = ["rest", "<b>wave</b>"]


def timeline_of(path: Path, num_moments: int = 40) -> Timeline:
    """Four seconds with one segment, from 2.0 to 3.0 s."""
    seconds = (np.arange(num_moments) + 0.5) * 4 / num_moments
    wave = np.where((seconds > 2) & (seconds < 3), 0.9, 0.1)
    segments = [Segment(NAMES[1], 2.0, 3.0, 0.9)]
    statistics = WatchStatistics(video_seconds=4.0)
    probs = np.stack([1 - wave, wave], axis=1)
    return Timeline(str(path), NAMES, seconds, probs, 4 / num_moments, segments, statistics)


def test_the_video_is_found_from_the_page(tmp_path: Path) -> None:
    page = tmp_path / "run" / "timelines" / "x.html"
    assert address_of(str(tmp_path / "a b#1.mp4"), page) == "../../a%20b%231.mp4"
    assert address_of(str(tmp_path), page) is None, "pictures in a folder do not play"
    write_timeline(timeline_of(tmp_path / "long.mp4"), page)
    assert 'src="../../long.mp4"' in page.read_text()
    assert "<video" not in render(timeline_of(tmp_path), None)


def test_it_shows_what_the_table_has_and_fetches_nothing(tmp_path: Path) -> None:
    page = render(timeline_of(tmp_path / "long.mp4"), "long.mp4")
    assert "1 segment in 4.0 s of video" in page
    assert "s per hour of video" in page
    assert '<rect class="a" x="20.0" y="76" width="10.0"' in page, "a column is a tenth of a second"
    assert "<b>wave" not in page
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//|file:)", page)


def test_an_hour_is_a_page_that_opens_at_once(tmp_path: Path) -> None:
    assert len(render(timeline_of(tmp_path / "long.mp4", 90_000), "long.mp4")) < 200_000


PROBE = """<!doctype html><body><iframe width="390" height="900" src="x.html"></iframe><script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const inside = frame.contentDocument;
  const video = inside.getElementById("video");
  video.addEventListener("seeked", () => {
    document.title = ["width", inside.documentElement.scrollWidth, "at", video.currentTime,
      "now", inside.querySelectorAll("tr.now").length].join(" ");
  });
  inside.querySelector("#segments tbody tr").click();
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_click_plays_the_moment(tmp_path: Path) -> None:
    video = tmp_path / "long.webm"
    write_video(video, np.zeros((40, 64, 96, 3), np.uint8), 10, codec="libvpx")
    write_timeline(timeline_of(video), tmp_path / "x.html")
    (tmp_path / "probe.html").write_text(PROBE)
    shown = browsed(tmp_path / "probe.html", "--allow-file-access-from-files")
    title = re.search(r"<title>width (\d+) at ([\d.]+) now (\d)</title>", shown.stdout)
    assert title, shown.stderr[-2000:]
    assert int(title[1]) <= 390
    assert float(title[2]) == pytest.approx(2.0, abs=0.3)
    assert title[3] == "1"
