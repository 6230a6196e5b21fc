"""`actionrnn diagnose`: a table, JSON and a figure for every kind."""

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from actionrnn.cli import main


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("diagnose") / "run"))


def words(run: Path, kind: str, *more: str) -> list[str]:
    return ["diagnose", kind, "--ckpt_path", str(run / "checkpoints" / "best.ckpt"), *more]


@pytest.mark.parametrize(
    "kind", ["order", pytest.param("bias", marks=pytest.mark.slow), "calibration", "gradients"]
)
def test_each_kind_prints_a_table_and_writes_json_and_a_figure(
    run: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(run, kind)) == 0
    out = capsys.readouterr().out
    result = json.loads((run / "diagnostics" / f"{kind}.json").read_text())
    assert " ".join(result["verdict"].split()) in " ".join(out.split())
    assert (run / "diagnostics" / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert main(["report", str(run)]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert f'<section id="{kind}">' in page
    assert f"actionrnn diagnose {kind} " not in page


def test_json_is_the_result_and_nothing_else(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(run, "gradients", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["cell"] == "lstm"


@pytest.mark.slow
def test_bias_by_one_column(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("pair", "[pair]"):
        assert main(words(run, "bias", "--columns", given, "--json")) == 0
        assert list(json.loads(capsys.readouterr().out)["slices"]) == ["pair"]
    assert main(words(run, "bias", "--columns", "pears")) == 1
    assert "did you mean pair" in capsys.readouterr().err


@pytest.mark.slow
def test_the_bias_of_a_run_that_was_trained_on_its_validation_clips(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny_fit, f"--run.folder={tmp_path}", "--refit=true"]) == 0
    capsys.readouterr()
    assert main(words(tmp_path, "bias", "--json")) == 0
    (background,) = json.loads(capsys.readouterr().out)["background"]
    assert background["subset"] == "test"


def test_mistakes_in_the_command_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose"]) == 2
    assert "order" in capsys.readouterr().out
    assert main(words(run, "ordre")) == 2
    assert "did you mean order" in capsys.readouterr().err
    assert main(words(run, "order", "--data.subset", "tset")) == 2
    assert "did you mean test" in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(words(run, "calibration")) == 1
    assert "pip install 'actionrnn[explain]'" in capsys.readouterr().err
