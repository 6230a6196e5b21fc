"""Lightning's own callbacks and loggers join a run, which resumes and repeats with them."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from actionrnn.cli import main

PL = "pytorch_lightning.callbacks."
CALLBACKS = {
    "ModelCheckpoint": {"save_top_k": -1, "filename": "{epoch}"},
    "ModelCheckpoint-like-ours": {"monitor": "val/macro_accuracy", "mode": "max"},
    "ModelCheckpoint-last": {"save_last": True, "every_n_train_steps": 2},
    "EarlyStopping": {"monitor": "val/loss", "patience": 9},
    "EarlyStopping-like-ours": {"monitor": "val/macro_accuracy", "mode": "max", "patience": 9},
    "TQDMProgressBar": {},
    "RichProgressBar": {},
    "Timer": {"duration": "00:01:00:00"},
    "StochasticWeightAveraging": {"swa_lrs": 0.001, "swa_epoch_start": 0.5},
    "EMAWeightAveraging": {"decay": 0.9},
    "LearningRateMonitor": {"logging_interval": "step"},
    "LearningRateFinder": {"num_training_steps": 8, "min_lr": 1e-4, "max_lr": 1e-2},
    "GradientAccumulationScheduler": {"scheduling": {0: 2}},
    "DeviceStatsMonitor": {},
    "ModelSummary": {"max_depth": 1},
}


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def assert_equal(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_joins_a_run_which_resumes_and_repeats(
    name: str,
    tiny_run: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    callback = {"class_path": PL + name.split("-")[0], "init_args": CALLBACKS[name]}
    config = tmp_path / "callback.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    words = [word for word in tiny_fit if word != "--trainer.logger=false"]
    first, again = tmp_path / "first", tmp_path / "again"
    assert main([*words, "--config", str(config), f"--run.folder={first}"]) == 0
    assert len(rows(first)) == 3
    last = str(first / "checkpoints" / "last.ckpt")
    if name == "StochasticWeightAveraging":
        # It averages a share of the epochs: more of them are another run, not a longer one.
        assert main(["fit", "--ckpt_path", last, "--trainer.max_epochs=5"]) == 2
        assert "averages the last share of the epochs" in capsys.readouterr().err
    else:
        assert main(["fit", "--ckpt_path", last, "--trainer.max_epochs=5"]) == 0
        assert [row["epoch"] for row in rows(first)] == ["0", "1", "2", "3", "4"]
    assert main(["test", "--ckpt_path", str(first / "checkpoints" / "best.ckpt")]) == 0
    repeat = ["fit", "--config", str(first / "config.yaml"), f"--run.folder={again}"]
    assert main(repeat) == 0
    assert_equal(first, again)


def test_a_profiler_and_loggers_write_into_the_run(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "logger.yaml"
    logger = {
        "class_path": "pytorch_lightning.loggers.CSVLogger",
        "init_args": {"save_dir": str(tmp_path / "logs")},
    }
    config.write_text(yaml.safe_dump({"trainer": {"logger": logger, "profiler": "simple"}}))
    words = [word for word in tiny_fit if word != "--trainer.logger=false"]
    run = tmp_path / "run"
    assert main([*words, "--config", str(config), f"--run.folder={run}"]) == 0
    assert list((tmp_path / "logs").rglob("metrics.csv"))
    last = ["--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs=4"]
    # A place to write to, named by a checkpoint alone, is not written to.
    assert main(["fit", *last]) == 2
    error = capsys.readouterr().err
    assert f"save_dir {tmp_path / 'logs'}" in error
    assert "--config RUN/config.yaml" in error
    assert main(["fit", "--config", str(run / "config.yaml"), *last]) == 0
    assert json.loads((run / "fit.json").read_text())["epochs"] == 4
