"""Two processes train and test as one: the same figures, each clip counted once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.evaluation.predictions import Predictions

TWO = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]


def actionrnn(*words: str) -> None:
    command = [sys.executable, "-m", "actionrnn", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_test_as_one(tiny_run: Path, tmp_path: Path) -> None:
    best = str(tiny_run / "checkpoints" / "best.ckpt")
    actionrnn("test", "--ckpt_path", best, f"--run.folder={tmp_path}", *TWO)
    one, two = Predictions.load(tiny_run), Predictions.load(tmp_path)
    assert two.table["video_id"].tolist() == one.table["video_id"].tolist()
    for mine, theirs in zip(one.table["probs"], two.table["probs"], strict=True):
        assert theirs == pytest.approx(mine, abs=1e-5)
    figures = [json.loads((run / "metrics.json").read_text()) for run in (tiny_run, tmp_path)]
    assert figures[0]["accuracy"] == figures[1]["accuracy"]
    assert figures[0]["num_clips"] == figures[1]["num_clips"] == 20


@pytest.mark.slow
def test_two_processes_train_as_one(tiny_fit: list[str], tmp_path: Path) -> None:
    words = [*tiny_fit, "--model.dropout=0"]
    assert main([*words, f"--run.folder={tmp_path / 'one'}"]) == 0
    actionrnn(*words, f"--run.folder={tmp_path / 'two'}", *TWO)
    losses = []
    for run in ("one", "two"):
        lines = (tmp_path / run / "metrics.csv").read_text().splitlines()
        column = lines[0].split(",").index("val/loss")
        losses.append(
            [float(row.split(",")[column]) for row in lines[1:] if row.split(",")[column]]
        )
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
