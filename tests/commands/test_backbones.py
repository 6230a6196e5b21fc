"""`actionrnn compare --backbones`: the table, chosen by equal trials, resumable, in four forms."""

import json
from pathlib import Path

import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.commands import backbones

pytest.importorskip("optuna", reason="needs the extra `sweep`")


@pytest.mark.slow
def test_the_table_is_made_once_and_goes_on(
    tiny_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("model.hidden_size: [4, 8]\n")
    folder = tmp_path / "table"
    fit = [word for word in tiny_fit[1:] if "backbone" not in word and "max_epochs" not in word]
    words = ["compare", *fit, "--trainer.max_epochs=1", f"--space={space}"]
    words += ["--trials=2", "--inner=2", f"--run.folder={folder}"]
    named = ["--backbones=squeezenet1_1=random,resnet18=gone.pth"]
    assert main([*words, *named, "--heads=gru,mean_pool"]) == 0
    captured = capsys.readouterr()
    assert "left out: resnet18: gone.pth: there is no such file" in captured.err
    assert "Too few groups to tell whether recurrence helps" in " ".join(captured.out.split())
    assert "equal effort: 2 trials a fold" in " ".join(captured.out.split())
    rows = json.loads((folder / "table.json").read_text())["rows"]
    assert [(row["backbone"], row["head"]) for row in rows] == [
        ("squeezenet1_1", "gru"),
        ("squeezenet1_1", "mean_pool"),
    ]
    for row in rows:
        place = folder / "squeezenet1_1" / row["head"] / "split1"
        assert len(pd.read_csv(place / "choice" / "trials.csv")) == 2, "equal trials"
        tested = json.loads((place / "runs" / "metrics.json").read_text())
        assert row["accuracy"] == pytest.approx(tested["accuracy"])
        assert row["inference_ms_per_frame"] == pytest.approx(row["inference_ms"] / 6)
        assert row["backbone_ms_per_frame"] > 0
        assert f"| {row['head']} | {row['accuracy']:.3f}" in (folder / "table.md").read_text()
    assert len(pd.read_csv(folder / "table.csv")) == 2
    assert (folder / "table.png").stat().st_size > 1000

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("finished runs are not made again")

    monkeypatch.setattr(backbones, "fit_and_test", never)
    assert main([*words, *named, "--heads=gru,mean_pool"]) == 0
    again = json.loads((folder / "table.json").read_text())["rows"]
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in rows]
    assert main([*words, *named, "--heads=gru"]) == 2
    assert "is of another table; take another --run.folder" in capsys.readouterr().err


def test_backbones_that_are_not_there_are_named(
    tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *tiny_fit[1:], f"--run.folder={tmp_path}"]
    assert main([*words, "--backbones=resnet18=gone.pth"]) == 1
    assert "of none of them the weights are at hand" in capsys.readouterr().err
    assert main([*words, "--backbones=resnet18=random,resnet18=random"]) == 2
    assert "names resnet18 twice" in capsys.readouterr().err
