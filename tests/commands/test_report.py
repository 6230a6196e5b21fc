"""`actionrnn report`."""

import shutil
from pathlib import Path

import pytest

from actionrnn.cli import main


def test_it_writes_one_page_and_says_where(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    output = tmp_path / "elsewhere.html"
    assert main(["report", str(run), "--output", str(output)]) == 0
    assert output.read_text().startswith("<!doctype html>")


def test_a_run_that_was_not_tested_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "actionrnn test --ckpt_path" in capsys.readouterr().err
