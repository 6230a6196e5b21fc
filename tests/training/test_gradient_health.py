"""GradientHealth: logged for every layer and frame, from the command line, changing nothing."""

import csv
from pathlib import Path

import pytest
import torch

from actionrnn.cli import main
from actionrnn.models.config import HeadConfig
from actionrnn.models.gradients import gradient_report
from actionrnn.models.heads import build_head
from actionrnn.training.callbacks import GradientHealth
from actionrnn.training.gradient_health import MAX_FRAMES_LOGGED, layer_figures

HEALTH = "actionrnn.training.callbacks.GradientHealth"


def test_a_run_logs_it_and_stays_the_same_bit_for_bit(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path
) -> None:
    words = [*tiny_fit, "--model.num_layers=2", "--model.mixup=0.2", "--model.cell=gru"]
    assert main([*words, f"--run.folder={tmp_path / 'plain'}"]) == 0
    watched = [*words, f"--trainer.callbacks+={HEALTH}"]
    assert main([*watched, f"--run.folder={tmp_path / 'watched'}"]) == 0
    weights = [
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("plain", "watched")
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    with (tmp_path / "watched" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["gradients/global_norm"]]
    assert len(rows) == 3
    for place in ("layer0_forward", "layer1_forward"):
        for name in ("t000", "t005", "ratio", "per_frame", "update_low", "update_high"):
            assert float(rows[-1][f"gradients/{place}/{name}"]) >= 0
    assert float(rows[0]["gradients/global_norm_max"]) >= float(rows[0]["gradients/global_norm"])


def test_a_head_without_recurrence_logs_the_whole_gradient_alone(
    tiny_run: Path, tiny_control_fit: list[str], tmp_path: Path
) -> None:
    words = [*tiny_control_fit, "--model.head=mean_pool", f"--trainer.callbacks+={HEALTH}"]
    words += ["--trainer.callbacks.every_n_epochs=3", f"--run.folder={tmp_path}"]
    assert main(words) == 0
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    named = [name for name in header.split(",") if name.startswith("gradients/")]
    assert named == ["gradients/global_norm", "gradients/global_norm_max"]
    place = header.split(",").index(named[0])
    assert sum(bool(row.split(",")[place]) for row in rows) == 1


def test_long_clips_are_logged_at_some_frames_first_and_last_among_them() -> None:
    torch.manual_seed(0)
    head = build_head(HeadConfig(cell="rnn", hidden_size=3), 4, 2)
    batch = (torch.randn(2, 100, 4), torch.tensor([100, 90]), torch.tensor([0, 1]))
    figures = layer_figures(gradient_report(head, *batch)[0])
    frames = [name for name in figures if name.startswith("t")]
    assert frames[0] == "t000"
    assert frames[-1] == "t099"
    assert len(frames) <= MAX_FRAMES_LOGGED + 1


@pytest.mark.parametrize("name", ["every_n_epochs", "max_clips"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 0: must be at least 1"):
        GradientHealth(**{name: 0})
