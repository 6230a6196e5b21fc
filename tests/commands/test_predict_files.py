"""`predict` on plain files: positional, folders, patterns; a table for other programs."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.commands.predict_files import found_files, names_files
from actionrnn.errors import ActionRNNError


@pytest.fixture
def videos(tiny_data: Path, tmp_path: Path) -> Path:
    """A folder with two videos, one of them in a sub-folder, and a text."""
    (tmp_path / "v" / "deep").mkdir(parents=True)
    first, second = sorted(tiny_data.rglob("*.mp4"))[:2]
    shutil.copy(first, tmp_path / "v" / "one.mp4")
    shutil.copy(second, tmp_path / "v" / "deep" / "two.mp4")
    (tmp_path / "v" / "notes.txt").write_text("no video")
    return tmp_path / "v"


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["a.mp4", "--ckpt_path", "mine"], True),
        (["--ckpt_path", "mine", "a.mp4"], True),
        (["--ckpt_path=mine", "--videos", "a.mp4"], True),
        (["--json", "a.mp4", "--ckpt_path=mine"], True),
        (["--ckpt_path", "mine", "--data.root", "b"], False),
        (["--ckpt_path=mine", "--data.allow_leak", "true"], False),
    ],
)
def test_files_are_told_from_settings(words: list[str], files: bool) -> None:
    assert names_files(words) is files


def test_folders_and_patterns_are_found(videos: Path) -> None:
    both = [str(videos / "deep" / "two.mp4"), str(videos / "one.mp4")]
    assert found_files(str(videos)) == both
    assert found_files(str(videos / "*.mp4")) == both[1:]
    assert found_files(str(videos / "**" / "*.mp4")) == both
    assert found_files("gone.mp4") == ["gone.mp4"], "it is said when it is read"
    for nothing in (str(videos / "*.avi"), str(videos.parent / "empty")):
        (videos.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(ActionRNNError, match=r"no file matches|no video files"):
            found_files(nothing)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_a_table_has_a_row_a_class_and_the_reason_of_what_is_bad(
    ending: str, tiny_run: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "bad.mp4").write_text("not a video")
    target = videos.parent / f"found.{ending}"
    words = ["predict", str(videos), "--ckpt_path", str(tiny_run), "--top_k=2"]
    assert main([*words, "--output", str(target)]) == 1
    assert capsys.readouterr().out == ""
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[ending]
    table = read(target)
    assert len(table) == 2 * 2 + 1
    assert list(table.columns) == ["path", "rank", "label", "probability", "error"]
    assert "bad.mp4" in str(table.loc[table["rank"].isna(), "error"].iloc[0])
    assert main([*words, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(line["top"]) for line in lines] == [0, 2, 2]


def test_mistakes_are_named(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "a.mp4", "--ckpt_path", str(tiny_run)]
    assert main([*words, "--output=found.xlsx"]) == 2
    assert "must end in .csv, .json, .parquet" in capsys.readouterr().err
    assert main([*words, "--top_k=0"]) == 2
    assert "at least 1" in capsys.readouterr().err
