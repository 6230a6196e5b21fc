"""A run that is interrupted and resumed ends with the very weights of the unbroken run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from actionrnn.cli import main
from actionrnn.training.recognizer import ActionRecognizer

# Long enough that a process is killed while it trains.
EPOCHS = 30


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def long_fit(tiny_fit: list[str], folder: Path, epochs: int) -> list[str]:
    words = [word for word in tiny_fit if not word.startswith("--trainer.max_epochs")]
    return [
        *words,
        f"--run.folder={folder}",
        f"--trainer.max_epochs={epochs}",
        "--model.dropout=0.4",
        "--early_stopping.patience=1000",
    ]


def started(words: list[str], folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """A training process that has saved its first checkpoint, and that checkpoint."""
    process = subprocess.Popen([sys.executable, "-m", "actionrnn", *words])
    last = folder / "checkpoints" / "last.ckpt"
    while not last.exists():
        assert process.poll() is None, "training ended before it saved anything"
        time.sleep(0.02)
    return process, last


@pytest.fixture(scope="module")
def unbroken(
    tiny_run: Path, tiny_fit: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("unbroken")
    assert main(long_fit(tiny_fit, folder, EPOCHS)) == 0
    return weights(folder)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(2))
def test_kill_at_any_moment(
    trial: int, unbroken: dict[str, torch.Tensor], tiny_fit: list[str], tmp_path: Path
) -> None:
    words = long_fit(tiny_fit, tmp_path, EPOCHS)
    process, last = started(words, tmp_path)
    time.sleep(0.25 * trial)
    process.send_signal(signal.SIGKILL)
    process.wait()
    torch.load(last, weights_only=True)  # whole, whatever the moment
    assert main([*words, "--ckpt_path", str(last)]) == 0
    assert equal(weights(tmp_path), unbroken)


@pytest.mark.slow
def test_sigterm_keeps_the_last_epoch_and_exits_143(
    unbroken: dict[str, torch.Tensor], tiny_fit: list[str], tmp_path: Path
) -> None:
    words = long_fit(tiny_fit, tmp_path, EPOCHS)
    process, last = started(words, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert main([*words, "--ckpt_path", str(last)]) == 0
    assert equal(weights(tmp_path), unbroken)


def test_the_log_of_a_resumed_run_goes_on(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path
) -> None:
    assert main(long_fit(tiny_fit, tmp_path, 2)) == 0
    rows = len((tmp_path / "metrics.csv").read_text().splitlines())
    last = str(tmp_path / "checkpoints" / "last.ckpt")
    assert main([*long_fit(tiny_fit, tmp_path, 4), "--ckpt_path", last]) == 0
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) > rows


def power_cut(
    monkeypatch: pytest.MonkeyPatch, epoch: int, refit: bool = False, seed: int = 0
) -> None:
    """From now on training stops in the second step of an epoch: of a refit, or of what is none."""
    plain = ActionRecognizer.training_step

    def broken(self: ActionRecognizer, batch: Any, batch_idx: int) -> torch.Tensor:
        here = (self.current_epoch, batch_idx, self.data.val_as_train)
        if here == (epoch, 1, refit) and self.recipe["seed_everything"] == seed:
            raise OSError("power cut")
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(ActionRecognizer, "training_step", broken)


def test_a_run_resumes_from_its_checkpoint_alone(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(long_fit(tiny_fit, whole, 5)) == 0
    with monkeypatch.context() as patch:
        power_cut(patch, epoch=2)
        assert main(long_fit(tiny_fit, broken, 5)) == 1
    last = str(broken / "checkpoints" / "last.ckpt")
    assert not equal(weights(broken), weights(whole))
    assert main(["fit", "--ckpt_path", last]) == 0, "no other setting is needed"
    assert equal(weights(broken), weights(whole))


@pytest.mark.parametrize("refit", [False, True])
def test_a_requeued_job_goes_on_with_its_run_by_itself(
    refit: bool,
    tiny_run: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    more = ["--refit=true", "--keep=last"] if refit else []
    assert main([*long_fit(tiny_fit, whole, 5), *more]) == 0
    words = [*long_fit(tiny_fit, broken, 5), *more]
    slurm = {"JOB_ID": "7", "JOB_NAME": "fit", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}
    for name, value in {**slurm, "NODEID": "0", "NODELIST": "here"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with monkeypatch.context() as patch:
        power_cut(patch, epoch=2, refit=refit)
        assert main(words) == 1
    capsys.readouterr()
    assert main(words) == 2, "not by itself where nobody has requeued it"
    assert "holds a run" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert main(words) == 0
    assert equal(weights(broken), weights(whole))
    figures = [json.loads((run / "fit.json").read_text()) for run in (whole, broken)]
    assert figures[0]["validation"] == figures[1]["validation"]
    assert main(words) == 0, "and finished it is left as it is"
    assert main([*words, "--model.learning_rate=0.1"]) == 2
    assert "is of other settings" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fit", "folds"])
def test_a_requeued_job_goes_on_with_its_seeds_by_itself(
    verb: str, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(folder: Path) -> list[str]:
        return [verb, *long_fit(tiny_fit, folder, 5)[1:], "--seeds=2", "--refit=false"]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    inside = {"fit": Path(), "folds": Path("split1")}[verb]
    assert main(words(whole)) == 0
    with monkeypatch.context() as patch:
        power_cut(patch, epoch=2, seed=1)
        assert main(words(broken)) == 1
    first = broken / inside / "seed0" / "fit.json"
    written = first.stat().st_mtime_ns
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert main(words(broken)) == 0
    assert first.stat().st_mtime_ns == written, "a finished seed is not trained again"
    for seed in ("seed0", "seed1"):
        assert equal(weights(broken / inside / seed), weights(whole / inside / seed))
    assert main(words(broken)) == 0, "and finished it is left as it is"
    assert first.stat().st_mtime_ns == written


def test_of_equal_epochs_the_latest_counts(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path
) -> None:
    words = [*long_fit(tiny_fit, tmp_path, 4), "--model.learning_rate=1e-30"]  # all the same
    assert main([*words, "--keep=best"]) == 0
    saved = {
        name: torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("best", "last")
    }
    assert (saved["best"]["epoch"], saved["last"]["epoch"]) == (3, 3)
    assert json.loads((tmp_path / "fit.json").read_text())["best_epoch"] == 3


def test_mixup_repeats_and_resumes_bit_for_bit(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(name: str) -> list[str]:
        return [*long_fit(tiny_fit, tmp_path / name, 4), "--model.mixup=0.3"]

    assert main(words("whole")) == 0
    assert main(words("again")) == 0
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "again"))
    with monkeypatch.context() as patch:
        power_cut(patch, epoch=2)
        assert main(words("broken")) == 1
    last = str(tmp_path / "broken" / "checkpoints" / "last.ckpt")
    assert main([*words("broken"), "--ckpt_path", last]) == 0
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    figures = [json.loads((tmp_path / run / "fit.json").read_text()) for run in ("whole", "broken")]
    assert figures[0]["validation"] == figures[1]["validation"]


def test_no_half_checkpoint_is_left_when_saving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actionrnn.training.checkpoint import SealedCheckpointIO

    target = tmp_path / "last.ckpt"
    SealedCheckpointIO().save_checkpoint({"a": 1}, target)
    content = target.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        SealedCheckpointIO().save_checkpoint({"a": 2}, target)
    assert target.read_bytes() == content
    assert os.listdir(tmp_path) == ["last.ckpt"]
