"""What the files alone give away: found where it is planted, and not by luck."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official import fights
from actionrnn.datasets.own import folder
from actionrnn.diagnosis.shortcuts import CUES, Shortcuts, find_shortcuts, judge
from actionrnn.video.traits import Traits, traits_of
from actionrnn.video.writer import write_video

NUM_GROUPS, CLIPS_OF_GROUP = 8, 4
Film = Callable[[np.random.Generator, bool], tuple[int, int, int, int]]

# Height, width, number of frames and brightness of a clip of either class.
FILMS: dict[str, Film] = {
    "nothing": lambda rng, b: (32, 48, int(rng.integers(6, 12)), int(rng.integers(60, 200))),
    "resolution": lambda rng, b: (32 + 16 * b, 48 + 24 * b, 6, int(rng.integers(60, 200))),
    "duration": lambda rng, b: (32, 48, int(rng.integers(6, 10)) + 5 * b, 120),
    "brightness": lambda rng, b: (32, 48, 6, int(rng.integers(60, 110)) + 70 * b),
    "file date": lambda rng, b: (32, 48, 6, int(rng.integers(60, 200))),
}


def planted(root: Path, cue: str) -> Manifest:
    """Clips of two classes in which one cue tells the class, and noise nothing."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(NUM_GROUPS * CLIPS_OF_GROUP):
        group, second = number // CLIPS_OF_GROUP, bool(number % 2)
        height, width, num_frames, level = FILMS[cue](rng, second)
        frames = rng.integers(0, 40, (num_frames, height, width, 3)) + level
        write_video(root / f"{number}.mp4", frames.astype(np.uint8), 12)
        day = int(rng.integers(300)) + (400 if second and cue == "file date" else 0)
        os.utime(root / f"{number}.mp4", (86400 * day, 86400 * day))
        rows.append((f"clip{number}", f"{number}.mp4", "ba"[second], f"g{group}"))
    table = pd.DataFrame(rows, columns=["video_id", "path", "label", "group"])
    manifest = Manifest(root, table, ["a", "b"])
    manifest.save()
    return manifest


@pytest.mark.parametrize("cue", [name for name in FILMS if name != "nothing"])
def test_a_planted_cue_is_found_and_named(cue: str, tmp_path: Path) -> None:
    found = find_shortcuts(planted(tmp_path, cue))
    assert found.found
    assert found.cues[0].name == cue
    assert found.verdict.startswith("SHORTCUT: ")
    assert f"; {cue} alone gives {found.cues[0].macro_accuracy:.3f}" in found.verdict
    assert found.cues[0].macro_accuracy > 0.9
    assert len(found.cues) == len(CUES)


def test_nothing_planted_is_one_calm_line_and_a_broken_file_costs_itself_alone(
    tmp_path: Path,
) -> None:
    manifest = planted(tmp_path, "nothing")
    (tmp_path / "5.mp4").write_bytes(b"")
    found = find_shortcuts(manifest)
    assert not found.found
    assert not found.cues
    assert "do not give the class away" in found.verdict
    assert found.unread == {"clip5": "the file is empty (0 bytes)"}
    assert found.num_clips == NUM_GROUPS * CLIPS_OF_GROUP - 1
    assert found.verdict.endswith("; 1 clips could not be looked at: clip5")


def test_folders_of_pictures_have_traits_too(tmp_path: Path) -> None:
    for number in range(6):
        picture = np.full((40, 60, 3), 200, dtype=np.uint8)
        picture[:10] = picture[-10:] = 0
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    found = traits_of(tmp_path, 0.1, 0.4)
    assert (found.width, found.height, found.num_frames, found.codec) == (60, 40, 3, ".png")
    assert found.bars == pytest.approx((0.5, 0.0), abs=0.05)


TRAITS = Traits(320, 240, 25.0, 2.0, 50, "mp4 h264", 90_000, 360_000.0, 100.0, (0.0, 0.0), 9)


def by_luck(seed: int, num_groups: int = 10, tells: float = 0.0) -> Shortcuts:
    """Clips of three classes; some traits differ by group, the others by clip, none by class.

    `tells` is how much the brightness does all the same.
    """
    rng = np.random.default_rng(seed)
    rows, traits = [], []
    for group in range(num_groups):
        width, fps = 16 * int(rng.integers(10, 80)), float(rng.integers(10, 60))
        for clip in range(6):
            seconds, rate = rng.uniform(1, 4), float(rng.lognormal(13))
            traits.append(
                replace(
                    TRAITS, width=width, fps=fps, duration_seconds=seconds,
                    num_frames=round(seconds * fps), bits_per_second=rate,
                    num_bytes=round(rate * seconds / 8), day=group,
                    brightness=rng.normal(100, 20) + 40 * tells * (clip % 3),
                )
            )  # fmt: skip
            rows.append((f"{group}-{clip}", "abc"[clip % 3], f"g{group}"))
    return judge(traits, pd.DataFrame(rows, columns=["video_id", "label", "group"]), {})


@pytest.mark.slow
def test_many_cues_ring_no_more_false_alarms_than_one() -> None:
    """At 95 % one in forty may be above chance; of eleven cues each asked alone, one in four."""
    assert sum(by_luck(seed).found for seed in range(30)) <= 3
    assert by_luck(0, tells=1.0).found


def test_few_groups_give_no_verdict() -> None:
    found = by_luck(0, num_groups=5, tells=3.0)
    assert (found.found, found.together, found.interval) == (False, None, None)
    assert found.verdict.endswith("cannot be told: 5 groups only, and 6 are needed")


def test_a_class_in_one_group_cannot_be_held_out() -> None:
    table = pd.DataFrame(
        {"video_id": range(14), "label": ["a"] * 12 + ["b"] * 2, "group": [*range(12), "x", "x"]}
    ).astype(str)
    assert (
        "too few groups to be in both training and test: b (1)"
        in judge([TRAITS] * 14, table, {}).verdict
    )


def test_prepare_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(tmp_path / "made", "resolution")
    for number in range(NUM_GROUPS * CLIPS_OF_GROUP):
        folder = tmp_path / "videos" / "ba"[number % 2] / f"g{number // CLIPS_OF_GROUP}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(tmp_path / "made" / f"{number}.mp4", folder)
    words = ["prepare", "folder", "--source", str(tmp_path / "videos")]
    words += ["--root", str(tmp_path / "data")]
    assert main(words) == 0
    assert "warning: SHORTCUT: the files alone" in capsys.readouterr().err
    assert main([*words, "--check_files", "false"]) == 0
    assert "the files alone" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.real
def test_fights_give_nothing_away_and_the_crops_of_ut_interaction_do(
    shared_data: Path, tmp_path: Path
) -> None:
    """UT set 1 is cut close around the people: who points is alone, and the picture narrow."""
    made = fights.prepare(shared_data / "surveillance-fights", tmp_path / "f", check_files=False)
    assert not find_shortcuts(made).found
    source = shared_data / "ut-interaction-set1"
    regex = r"(seq\d+)"
    made = folder.prepare(source, tmp_path / "u", group_regex=regex, folds=10, check_files=False)
    found = find_shortcuts(made)
    assert found.found
    assert found.cues[0].name == "aspect"
