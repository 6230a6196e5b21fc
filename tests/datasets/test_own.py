"""Your own folders and tables: groups, splits, and the mistakes that get a clear message."""

import itertools
import math
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.file_checks import Segment
from actionrnn.datasets.groups import (
    groups_by_regex,
    join_groups,
    pairs_of_equal,
    pairs_of_overlapping,
)
from actionrnn.datasets.leaks import LeakError
from actionrnn.datasets.own import folder
from actionrnn.datasets.prepare_report import class_table


def test_clips_that_look_alike_stay_together(
    takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = folder.prepare(takes, tmp_path, val=0.2, test=0.3)
    table = manifest.table.set_index("video_id")
    assert "nothing says which clips come from the same recording" in capsys.readouterr().err
    for label in ("jump", "run"):
        for place in range(6):
            first, second = (table.loc[f"{label}/{place}{take}.mp4"] for take in "ab")
            assert first["group"] == second["group"] == f"like {label}/{place}a.mp4"
    assert not manifest.check_split("split1")
    assert "near-duplicates: 12" in (tmp_path / "report.txt").read_text()


def test_near_duplicates_only_reported(takes: Path, tmp_path: Path) -> None:
    manifest = folder.prepare(takes, tmp_path, near_duplicates="report")
    assert not manifest.table["group"].any()
    assert "near-duplicates: 12" in (tmp_path / "report.txt").read_text()
    skipped = folder.prepare(takes, tmp_path, near_duplicates="skip")
    assert not skipped.table["group"].any()
    assert "near-duplicates" not in (tmp_path / "report.txt").read_text()


def test_equal_files_stay_together_whatever_their_groups(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(takes, source)
    shutil.copy(source / "jump" / "0a.mp4", source / "jump" / "5b.mp4")
    manifest = folder.prepare(source, tmp_path / "root", group_regex=r"^(\d)")
    group = manifest.table.set_index("video_id")["group"]
    assert group["jump/0a.mp4"] == group["jump/5b.mp4"] == group["jump/5a.mp4"] == "0"


def test_an_archive_of_a_folder(takes: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for path in takes.rglob("*.mp4"):
            archive.write(path, Path("mine", path.relative_to(takes)))
    manifest = folder.prepare(tmp_path / "mine.zip", tmp_path / "root", group_regex=r"^(\d)")
    assert manifest.class_names == ["jump", "run"]
    assert all(path.is_file() for path in manifest.video_paths())


def test_folders_that_give_a_leaking_split_are_refused(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(takes, source / "train")
    shutil.copytree(takes / "jump", source / "test" / "jump")
    with pytest.raises(LeakError, match=r"content '[0-9a-f]{16}' is in train: train/jump/0a.mp4"):
        folder.prepare(source, tmp_path / "root", val=0)
    assert not (tmp_path / "root" / "manifest.csv").exists()
    manifest = folder.prepare(source, tmp_path / "root", val=0, allow_leak=True)
    assert len(manifest.find_leaks("split1")) == 12
    assert "split1 leaks: 12" in (tmp_path / "root" / "report.txt").read_text()


def test_a_class_may_be_called_train(takes: Path, tmp_path: Path) -> None:
    for name, label in (("jump", "train"), ("run", "bus")):
        shutil.copytree(takes / name, tmp_path / "source" / label)
    manifest = folder.prepare(tmp_path / "source", tmp_path / "root", group_regex=r"^(\d)")
    assert manifest.class_names == ["bus", "train"]


def test_a_folder_may_hold_its_own_manifest_and_features(takes: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(takes, tmp_path / part)
    for path in (tmp_path / "test").rglob("*.mp4"):
        path.write_bytes(path.read_bytes() + b"\0" * 8)
    first = folder.prepare(tmp_path, tmp_path).table
    (tmp_path / "features" / "0123").mkdir(parents=True)
    assert folder.prepare(tmp_path, tmp_path).table.equals(first)


def test_folders_of_pictures_are_clips(
    takes: Path, tmp_path: Path, make_still: Callable[[int], np.ndarray]
) -> None:
    source = tmp_path / "source"
    for label, first in (("jump", 0), ("run", 50)):
        for place in range(6):
            clip = source / label / f"clip{place}"
            clip.mkdir(parents=True)
            for number, pixels in enumerate(make_still(first + place), start=1):
                Image.fromarray(pixels).save(clip / f"{number:05d}.png")
    shutil.copy(takes / "run" / "0a.mp4", source / "run" / "film.mp4")
    Image.new("RGB", (4, 4)).save(source / "run" / "thumbnail.png")
    manifest = folder.prepare(source, tmp_path / "root")
    group = manifest.table.set_index("video_id")["group"]
    assert len(group) == 13
    assert group["run/film.mp4"] == group["run/clip0"], "the same place, filmed and as pictures"
    assert group["jump/clip3"] == ""


def test_a_linked_class_folder_counts(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(takes / "jump", source / "jump")
    (source / "run").symlink_to(takes / "run")
    (source / "run_again").symlink_to(takes / "run")
    manifest = folder.prepare(source, tmp_path / "root", group_regex=r"^(\d)")
    assert manifest.class_names == ["jump", "run"]


def test_labels_and_classes_that_cannot_be(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(takes, source)
    (source / "empty").mkdir()
    folder.prepare(source, tmp_path / "root", near_duplicates="skip")
    report = (tmp_path / "root" / "report.txt").read_text()
    assert "class folders without a video: 1\n  empty" in report
    shutil.copytree(takes / "jump", source / "Jump")
    with pytest.raises(
        ManifestError,
        match=r"differ only in case or spaces: 'Jump' \(12 clips\) and 'jump' \(12 clips\)",
    ):
        folder.prepare(source, tmp_path / "root")
    shutil.rmtree(source / "Jump")
    shutil.rmtree(source / "run")
    with pytest.raises(ManifestError, match="all 12 clips are of one class, 'jump'"):
        folder.prepare(source, tmp_path / "root")


def test_a_class_with_one_group_is_named(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(takes, source)
    for path in (source / "run").iterdir():
        if path.name[0] != "3":
            path.unlink()
    with pytest.raises(ManifestError, match=r"too few groups .*: run \(1\)\. Add recordings"):
        folder.prepare(source, tmp_path / "root", group_regex=r"^(\d)")
    with pytest.raises(ManifestError, match="look alike count as one group"):
        folder.prepare(source, tmp_path / "root")


def test_groups_by_pattern() -> None:
    assert groups_by_regex(["v_g01_c1.avi", "v_g02_c1.avi"], r"_(g\d+)_") == ["g01", "g02"]
    with pytest.raises(ManifestError, match="is no regular expression"):
        groups_by_regex(["a"], "(")
    with pytest.raises(ManifestError, match="has no parenthesis"):
        groups_by_regex(["a"], "a")
    with pytest.raises(ManifestError, match=r"finds no \(group\) in 1 of 2 names, such as 'b'"):
        groups_by_regex(["a1", "b"], r"a(\d)")


def test_joined_groups_are_transitive() -> None:
    groups = ["g1", "g2", "g3", "", ""]
    joined = join_groups(groups, [(0, 3), (3, 1)], ["a", "b", "c", "d", "e"])
    assert joined == ["g1", "g1", "g3", "g1", ""]
    assert join_groups(["", ""], [(0, 1)], ["a", "b"]) == ["like a", "like a"]
    assert pairs_of_equal(["x", "", "y", "x", "", "x"]) == [(0, 3), (0, 5)]


SECONDS = st.none() | st.integers(0, 20).map(float)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "./a"]), SECONDS, SECONDS), max_size=12))
def test_groups_of_overlapping_segments_never_leak(
    rows: list[tuple[str, float | None, float | None]],
) -> None:
    """Each group in a part of its own, as far as parts go: then no seconds are shared."""
    segments = [
        Segment(Path(path), start, end)
        for path, start, end in rows
        if (start or 0.0) < (math.inf if end is None else end)
    ]
    names = [str(row) for row in range(len(segments))]
    groups = join_groups(names, pairs_of_overlapping(segments), names)
    for one, other in itertools.combinations(range(len(segments)), 2):
        a, b = segments[one], segments[other]
        latest = max(a.start_seconds or 0.0, b.start_seconds or 0.0)
        soonest = min(math.inf if s.end_seconds is None else s.end_seconds for s in (a, b))
        if os.path.normpath(a.path) == os.path.normpath(b.path) and latest < soonest:
            assert groups[one] == groups[other]


def test_the_class_table_counts_and_warns(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(takes, source)
    for path in (source / "run").iterdir():
        if path.name[0] in "0123":
            path.unlink()
    manifest = folder.prepare(source, tmp_path / "root", group_regex=r"^(\d)")
    text = class_table(manifest)
    assert text.splitlines()[0].split() == ["clips", "groups", "train", "val", "test"]
    assert text.splitlines()[1].split()[:3] == ["jump", "12", "6"]
    assert text.splitlines()[3].split()[:3] == ["all", "16", "6"]
    assert "classes are uneven (4 to 12 clips)" in text
    assert "--data.sampler balanced" in text
    short = class_table(manifest, max_classes=1)
    assert "... 1 classes between them are in report.txt" in short
