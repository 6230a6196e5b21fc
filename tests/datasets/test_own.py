"""Your own folders and tables: groups, splits, and the mistakes that get a clear message."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.groups import groups_by_regex, join_groups, pairs_of_equal
from actionrnn.datasets.leaks import LeakError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own import csv_table, folder
from actionrnn.datasets.prepare_report import class_table


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six places each, filmed twice: the second take is another encoding."""
    from actionrnn.video.writer import write_video

    top = tmp_path_factory.mktemp("takes")
    make_scene = _scene()
    for label, first in (("jump", 0), ("run", 50)):
        for place in range(6):
            (top / label).mkdir(exist_ok=True)
            for take, crf in (("a", "18"), ("b", "30")):
                path = top / label / f"{place}{take}.mp4"
                write_video(path, make_scene(first + place), 25, options={"crf": crf})
    return top


def _scene() -> Callable[..., object]:
    def scene(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        tiles = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        return np.stack([tiles] * 4)

    return scene


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


def test_folders_of_pictures_are_clips(takes: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for label, first in (("jump", 0), ("run", 50)):
        for place in range(6):
            clip = source / label / f"clip{place}"
            clip.mkdir(parents=True)
            for number, pixels in enumerate(np.asarray(_scene()(first + place)), start=1):
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


# ---- csv --------------------------------------------------------------------------------------


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def listing(takes: Path, tmp_path: Path) -> Path:
    lines = ["file;action;subject;from;to"]
    for label in ("jump", "run"):
        for place in range(6):
            lines += [f"{label}/{place}a.mp4;{label};s{place};;0.1"]
            lines += [f"{label}/{place}a.mp4;{label};s{place};0.1;"]
    return table(tmp_path / "mine.csv", "\n".join(lines) + "\n")


COLUMNS = {
    "path_column": "file",
    "label_column": "action",
    "group_column": "subject",
    "start_column": "from",
    "end_column": "to",
    "separator": ";",
}


def test_a_csv_with_its_own_column_names(takes: Path, tmp_path: Path) -> None:
    source = listing(takes, tmp_path)
    manifest = csv_table.prepare(source, tmp_path / "r", videos=takes, folds=3, **COLUMNS)
    rows = Manifest.load(tmp_path / "r").table.set_index("video_id")
    assert len(rows) == 24
    assert rows.loc["jump/0a.mp4#-0.1", "end_seconds"] == 0.1
    assert rows.loc["jump/0a.mp4#0.1-", "start_seconds"] == 0.1
    assert manifest.splits == ["split1", "split2", "split3"]
    assert all(path.is_file() for path in manifest.video_paths())


def test_a_csv_with_the_usual_names_needs_no_flags(takes: Path, tmp_path: Path) -> None:
    lines = ["path,label,group,split"]
    for label in ("jump", "run"):
        for place, part in enumerate(("Train", "train", "training", "val", "test", "unused")):
            lines.append(f"{label}/{place}a.mp4,{label},s{place},{part}")
    source = table(takes.parent / "mine.csv", "\n".join(lines))
    manifest = csv_table.prepare(source, tmp_path, videos=takes)
    counts = manifest.table["split1"].value_counts().to_dict()
    assert counts == {"train": 6, "val": 2, "test": 2, "unused": 2}


def test_a_given_split_that_shares_a_group_is_refused(takes: Path, tmp_path: Path) -> None:
    text = "path,label,group,split\njump/0a.mp4,jump,x,train\nrun/0a.mp4,run,x,test\n"
    source = table(tmp_path / "mine.csv", text)
    with pytest.raises(LeakError, match=r"group 'x' is in train: jump/0a\.mp4; test: run/0a"):
        csv_table.prepare(source, tmp_path / "r", videos=takes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.mp4,x\n", r"line 1: no column 'path' \(--path_column\); it has file, lab"),
        ("path,label\n../a.mp4,x\n", r"line 2: path '../a.mp4' leads outside .*--outside true"),
        ("path,label\na.mp4,x\n/etc/p,y\n", r"line 3: path '/etc/p' is not relative"),
        ("path,label\na.mp4\n", r"line 2: 1 cells, but line 1 names 2 columns"),
        ("path,label\na.mp4,\n", r"line 2: label is empty"),
        ("path,label,split\na.mp4,x,tset\n", r"line 2: split 'tset'; one of train, training"),
        ("path,label,start_seconds\na.mp4,x,1:30\n", r"line 2: start_seconds '1:30' is not a num"),
        ("path,label\n", "lists no clips"),
        ("path,label\na.mp4,x\nb.mp4,x \n", "differ only in case or spaces: 'x' .* and 'x '"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        csv_table.prepare(table(tmp_path / "mine.csv", text), tmp_path / "r")


def test_paths_may_lead_outside_on_request(takes: Path, tmp_path: Path) -> None:
    lines = [f"{path},{path.parent.name},{path.stem}" for path in sorted(takes.rglob("*a.mp4"))]
    source = table(tmp_path / "mine.csv", "\n".join(["path,label,group", *lines]))
    manifest = csv_table.prepare(source, tmp_path / "r", outside=True)
    assert all(path.is_file() for path in manifest.video_paths())


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
