"""A table of your own clips: how it is read, and the mistakes that get a clear message."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from actionrnn.cli import main
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.leaks import LeakError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own import csv_table
from actionrnn.errors import UsageError


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
    source = table(tmp_path / "usual.csv", "\n".join(lines))
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
        ("path,label,start_seconds\na.mp4,x,nan\n", r"line 2: start_seconds 'nan' is not a num"),
        ("path,label,end_seconds\na.mp4,x,inf\n", r"line 2: end_seconds 'inf' is not a number"),
        ("path,label,label\na.mp4,x,y\n", r"line 1: column 'label' is there twice"),
        ("path,group, path \na.mp4,x,y\n", r"line 1: column 'path' is there twice"),
        ("path;label\na.mp4;x\n", r"it has path;label.* Is it --separator semicolon\?"),
        ("path\tlabel\na.mp4\tx\n", r"Is it --separator tab\?"),
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


# ---- separators and encodings -----------------------------------------------------------------


def clips_of(takes: Path) -> list[list[str]]:
    return [[f"{p.parent.name}/{p.name}", p.parent.name] for p in sorted(takes.rglob("*a.mp4"))]


@pytest.mark.parametrize(
    ("name", "between"),
    [
        *(("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|")),
        *((r"\t", "\t"), ("\t", "\t"), (";", ";"), (" ", " "), ("§", "§")),
    ],
)
def test_a_separator_by_its_name_or_itself(
    name: str, between: str, takes: Path, tmp_path: Path
) -> None:
    rows = [["path", "label"], *clips_of(takes)]
    source = table(tmp_path / "mine.csv", "\n".join(between.join(row) for row in rows))
    words = ["prepare", "csv", "--source", str(source), "--root", str(tmp_path / "r")]
    words += ["--videos", str(takes), "--near_duplicates", "skip", f"--separator={name}"]
    assert main(words) == 0
    assert len(Manifest.load(tmp_path / "r").table) == 12


@pytest.mark.parametrize("name", ["", "tabs", ",,", '"', "\n"])
def test_what_cannot_separate_is_a_usage_error(name: str, tmp_path: Path) -> None:
    source = table(tmp_path / "mine.csv", "path,label\na,b\n")
    with pytest.raises(UsageError, match="one of comma, semicolon, tab,"):
        csv_table.prepare(source, tmp_path / "r", separator=name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_by_its_mark(encoding: str, takes: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(takes / "jump", videos / "füß")
    shutil.copytree(takes / "run", videos / "走る")
    lines = ["path,label", *(",".join(row) for row in clips_of(videos))]
    text = "\ufeff" * (encoding in ("utf-16-le", "utf-16-be")) + "\r\n".join(lines)
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    manifest = csv_table.prepare(
        tmp_path / "mine.csv", tmp_path / "r", videos=videos, near_duplicates="skip"
    )
    assert manifest.class_names == ["füß", "走る"]
    assert all(path.is_file() for path in manifest.video_paths())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na,b\ncafé.mp4,x".encode("latin-1"), r"line 3: .* 0xe9: this is not UTF-8"),
        ("path,label\na,b\n".encode("utf-16-le"), "UTF-16 without its mark"),
        (b"\xff\xfea", "this is not UTF-16"),
        (b"path,label\na\0,b\n", "holds NUL characters"),
    ],
)
def test_other_encodings_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        csv_table.prepare(tmp_path / "mine.csv", tmp_path / "r")


# ---- segments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.04, 0.001, 1e-6, 1e-9])
def test_ids_of_segments_differ_wherever_their_times_do(
    step: float, takes: Path, tmp_path: Path
) -> None:
    lines = ["path,label,group,split,start_seconds,end_seconds"]
    for label in ("jump", "run"):
        for number in range(20):
            start = 12345 + number * step
            lines.append(f"{label}/0a.mp4,{label},g,train,{start!r},{start + 2!r}")
    source = table(tmp_path / "mine.csv", "\n".join(lines))
    manifest = csv_table.prepare(source, tmp_path / "r", videos=takes)
    assert len(Manifest.load(tmp_path / "r").table) == 40
    first = "jump/0a.mp4#12345-12347"
    assert manifest.table["video_id"].iloc[0] == first, "and are short where they can be"


def test_segments_outside_of_their_file_are_found(takes: Path, tmp_path: Path) -> None:
    lines = ["path,label,start_seconds,end_seconds"]
    for label in ("jump", "run"):
        lines += [f"{label}/{k}a.mp4,{label},0,0.1" for k in range(5)]
    lines += ["jump/5a.mp4,jump,100,200", "run/5a.mp4,run,0.1,200", "gone.mp4,run,1,2"]
    source = table(tmp_path / "mine.csv", "\n".join(lines))
    csv_table.prepare(source, tmp_path / "r", videos=takes)
    report = (tmp_path / "r" / "report.txt").read_text()
    assert "segments outside of their file: 2\n" in report
    assert "  jump/5a.mp4#100-200: begins at 100.0 s, the file ends at 0.16 s\n" in report
    assert "  run/5a.mp4#0.1-200: ends at 200.0 s, the file at 0.16 s\n" in report


def test_segments_that_overlap_stay_together(
    takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["path,label,group,start_seconds,end_seconds"]
    for label in ("jump", "run"):
        for place in range(6):
            for number in range(4):
                times = f"{number * 0.04:.2f},{number * 0.04 + 0.08:.2f}"
                group = f"{label}{place}-{number // 2}"
                lines.append(f"{label}/{place}a.mp4,{label},{group},{times}")
    source = table(tmp_path / "mine.csv", "\n".join(lines))
    manifest = csv_table.prepare(source, tmp_path / "r", videos=takes)
    assert not manifest.check_split("split1")
    assert "segments of one file overlap across groups" in capsys.readouterr().err


@pytest.mark.real
def test_the_failing_lists(shared_data: Path, tmp_path: Path) -> None:
    failing = shared_data / "failing" / "csv"
    quick = {"near_duplicates": "skip"}
    for name, separator in (("ok.csv", "comma"), ("tab.csv", r"\t")):
        manifest = csv_table.prepare(failing / name, tmp_path, separator=separator, **quick)
        assert len(manifest.table) == 12
    manifest = csv_table.prepare(failing / "longseg.csv", tmp_path, **quick)
    assert len(manifest.table) == 24
    csv_table.prepare(failing / "beyond.csv", tmp_path, **quick)
    assert "begins at 100.0 s, the file ends at 1.2 s" in (tmp_path / "report.txt").read_text()


# ---- features alone ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "file"),
    [
        ("a/{}", "a/{}.npy"),
        ("a/{}.npy", "a/{}.npy"),
        ("a/{}.mp4", "a/{}.npy"),
        ("a/deep/take.{}", "a/deep/take.{}.npy"),
        ("a/{}.mp4", "a/{}.mp4.npy"),
        ("{}", "{}.safetensors"),
    ],
)
def test_arrays_train_after_two_commands_and_are_never_opened_as_videos(
    listed: str,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def opened(path: object, *_: object, **__: object) -> None:
        raise AssertionError(f"{path} was opened as a video")

    monkeypatch.setattr("av.open", opened)
    lines = ["path,label"]
    for number in range(12):
        path = tmp_path / "arrays" / file.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.random.default_rng(number).standard_normal((3, 4), np.float32)
        np.save(path, array) if file.endswith("npy") else save_file({"f": array}, path)
        lines.append(f"{listed.format(number)},{'jump' if number % 2 else 'run'}")
    source, root = table(tmp_path / "mine.csv", "\n".join(lines)), tmp_path / "r"
    words = ["prepare", "csv", "--source", str(source), "--root", str(root)]
    assert main([*words, "--features", str(tmp_path / "arrays")]) == 0
    following = re.search("next: actionrnn (features import .*)", capsys.readouterr().err)
    assert following is not None
    assert main(following[1].split()) == 0
    said = capsys.readouterr()
    assert "12 clips imported, 0 had no file" in said.out
    following = re.search("next: actionrnn (fit .*)", said.err)
    assert following is not None
    quick = ["--trainer.max_epochs=1", "--model.hidden_size=4", f"--run.folder={tmp_path / 'run'}"]
    assert main([*following[1].split(), *quick]) == 0
    manifest = Manifest.load(root)
    assert all(path.is_file() for path in manifest.video_paths())
    assert manifest.table["video_id"].tolist() == [listed.format(k) for k in range(12)]
    assert main(["verify", str(root)]) == 0
    assert "12 clips are arrays of features" in capsys.readouterr().err


def test_arrays_of_segments_are_named_by_them(tmp_path: Path) -> None:
    lines = ["path,label,start_seconds,end_seconds"]
    for number in range(4):
        for start in (0, 2.5):
            (tmp_path / f"{number}.mp4#{start}-{start + 2.5:g}.npy").write_bytes(bytes([number]))
            label = "jump" if number % 2 else "run"
            lines.append(f"{number}.mp4,{label},{start},{start + 2.5}")
    source = table(tmp_path / "mine.csv", "\n".join(lines))
    manifest = csv_table.prepare(source, tmp_path / "r", features=tmp_path, allow_leak=True)
    assert [path.name for path in manifest.video_paths()][:2] == [
        "0.mp4#0-2.5.npy",
        "0.mp4#2.5-5.npy",
    ]
