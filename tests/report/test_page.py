"""The page: everything is in it, nothing is fetched, and a browser shows it at any width."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from actionrnn.errors import ActionRNNError
from actionrnn.files import sha256_of_file
from actionrnn.report.confusion import shown_classes, shown_matrix, top_confusions
from actionrnn.report.html.page import render, write_report
from actionrnn.report.mistakes import confident_mistakes, with_frames
from actionrnn.report.pictures import film_strip
from actionrnn.report.run import Run
from actionrnn.video.errors import VideoError
from tests.conftest import MakePredictions

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
# Wide and narrow, measured from outside: an address of another width would need a real window.
PROBE = """<!doctype html><body><iframe width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  const inside = frame.contentDocument;
  inside.querySelectorAll("th button").forEach((button) => button.click());
  const clips = inside.getElementById("clips");
  const fields = [...clips.querySelectorAll(".filter")];
  const by = (label) => fields.find((field) => field.ariaLabel === label);
  by("filter clips").value = "class_1";
  by("confidence from").value = "0.1";
  by("result").value = "wrong";
  for (const field of fields) field.dispatchEvent(new Event("input"));
  const rows = [...clips.querySelectorAll("tbody tr")];
  const shown = rows.filter((row) => !row.hidden);
  inside.getElementById("theme").click();
  document.title = [
    "width", inside.documentElement.scrollWidth, "errors", frame.contentWindow.failures.length,
    "charts", inside.querySelectorAll("svg").length,
    "shown", shown.length, "of", rows.length,
    "fitting", shown.filter((row) => row.textContent.includes("wrong")
      && row.textContent.includes("class_1")
      && Number(row.cells[5].textContent) >= 0.1).length,
    "theme", inside.documentElement.dataset.theme,
  ].join(" ");
}});
</script>"""
CATCH = "<script>failures = []; onerror = (message) => failures.push(message);</script>"


def saved(make_predictions: MakePredictions, folder: Path, **options: object) -> Run:
    make_predictions(**options).save(folder / "predictions.parquet")
    return Run.load(folder)


def test_a_real_run_fills_every_section(tiny_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    page = write_report(folder).read_text()
    for key in (
        "summary", "curves", "confusion", "classes", "calibration", "order", "bias", "mistakes",
        "clips", "environment",
    ):  # fmt: skip
        assert f'<section id="{key}">' in page
    assert page.count("data:image/jpeg;base64,") >= 4
    assert "actionrnn diagnose order --ckpt_path" in page
    assert "actionrnn fit --config" in page
    assert "config.yaml" in page
    assert sha256_of_file(folder / "checkpoints" / "best.ckpt") in page, "whose figures they are"


def test_nothing_is_fetched_and_nothing_from_the_data_is_markup(
    make_predictions: MakePredictions, tmp_path: Path
) -> None:
    scored = make_predictions(unreadable=2)
    scored.class_names[0] = "<script>alert(1)</script>"
    scored.table.loc[scored.table["label"] == "class_0", "label"] = "<script>alert(1)</script>"
    scored.table.loc[0, "error"] = 'a <b> & "c"'
    scored.save(tmp_path / "predictions.parquet")
    page = render(Run.load(tmp_path))
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//|file:)", page)
    assert "<link" not in page.replace('<link rel="icon" href="data:,">', "")
    assert "<script>alert" not in page
    assert "a &lt;b&gt; &amp; &#34;c&#34;" in page
    assert "LEAKED" not in page


def test_it_works_without_videos_groups_and_errors(
    make_predictions: MakePredictions, tmp_path: Path
) -> None:
    page = render(saved(make_predictions, tmp_path, num_groups=1, num_views=2, skill=100.0))
    assert "No class was taken for another." in page
    assert "view accuracy" in page
    mistakes = confident_mistakes(make_predictions(skill=1.0))
    assert mistakes["confidence"].is_monotonic_decreasing
    assert not mistakes["correct"].any()
    found = with_frames(mistakes, tmp_path / "gone")
    assert found[0].frames == []
    assert "--data.root" in found[0].problem
    assert "does not say" in with_frames(mistakes, None)[0].problem


def test_hundreds_of_classes_stay_readable(
    make_predictions: MakePredictions, tmp_path: Path
) -> None:
    run = saved(make_predictions, tmp_path, num_clips=900, num_classes=400, skill=2.0)
    page = render(run)
    assert "30 classes of the most frequent confusions" in page
    assert "others, or unread" in page
    assert page.count('class="matrix"') == 1
    assert len(page) < 2_000_000


def test_of_many_classes_none_is_shown_without_the_one_it_is_confused_with() -> None:
    rng = np.random.default_rng(0)
    counts = np.column_stack([np.diag(rng.integers(1, 9, 400)), np.zeros(400, int)])
    partner = rng.permutation(400).reshape(200, 2)
    counts[partner[:, 0], partner[:, 1]] = rng.integers(1, 9, 200)
    shown = set(shown_classes(counts))
    assert len(shown) == 30
    assert all(len(shown & set(pair)) in (0, 2) for pair in partner.tolist())


def test_no_clip_of_a_shown_class_is_left_out_of_its_row() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (50, 51))
    shown, matrix = shown_matrix(counts)
    assert matrix.shape == (30, 31)
    np.testing.assert_array_equal(matrix.sum(axis=1), counts.sum(axis=1)[shown])
    assert shown_matrix(np.eye(3, 4, dtype=np.int64))[1].shape == (3, 3)


def test_confused_classes_stand_next_to_each_other() -> None:
    counts = np.diag([10, 10, 10, 10, 0])[:4]
    counts[0, 3], counts[3, 0], counts[1, 2] = 4, 3, 2
    order = shown_classes(counts)
    assert abs(order.index(0) - order.index(3)) == 1
    assert abs(order.index(1) - order.index(2)) == 1
    assert set(shown_classes(counts, limit=2)) == {0, 3}
    pairs = top_confusions(counts, list("abcd"))
    assert [(p.label, p.pred, p.clips) for p in pairs] == [
        ("a", "d", 4),
        ("d", "a", 3),
        ("b", "c", 2),
    ]
    assert pairs[0].share == pytest.approx(4 / 14)


def test_a_film_strip_is_small_pictures_in_order(tiny_data: Path) -> None:
    video = next((tiny_data / "videos").rglob("*.mp4"))
    strip = film_strip(video, num_frames=3, width=24)
    assert len(strip) == 3
    assert all(frame.startswith("data:image/jpeg;base64,") for frame in strip)
    assert len(set(strip)) == 3
    with pytest.raises(VideoError):
        film_strip(tiny_data / "gone.mp4")


def test_a_folder_without_predictions_is_told_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match="actionrnn test --ckpt_path"):
        write_report(tmp_path)


def browsed(probe: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """A page after five seconds in a browser: its elements on stdout, its errors on stderr."""
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", f"--user-data-dir={probe.parent / 'profile'}", "--dump-dom"),
        *("--enable-logging=stderr", "--virtual-time-budget=5000", *flags, probe.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_errors_or_sideways_scrolling(
    make_predictions: MakePredictions, tmp_path: Path, width: int
) -> None:
    run = saved(make_predictions, tmp_path, num_clips=400, num_classes=60, unreadable=3, skill=2.0)
    page = render(run).replace("<head>", f"<head>{CATCH}", 1)
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(width=width, page=html.escape(page, quote=True)))
    shown = browsed(probe)
    title = re.search(r"<title>(width .*?)</title>", shown.stdout)
    assert title, shown.stderr[-2000:]
    words = title[1].split()
    found = dict(zip(words[::2], words[1::2], strict=True))
    assert int(found["width"]) <= width
    assert found["errors"] == "0"
    assert int(found["charts"]) > 60
    assert 0 < int(found["shown"]) == int(found["fitting"]) < int(found["of"]) == 400
    assert found["theme"] in ("dark", "light")
    assert "CONSOLE" not in shown.stderr
