"""Ctrl-C: what is kept, what to type next, exit code 130, soon."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.process import interruptible
from actionrnn.training.recognizer import ActionRecognizer


@pytest.mark.slow
def test_ctrl_c_in_fit_keeps_the_last_epoch_and_says_how_to_go_on(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, interruptible_command: list[str]
) -> None:
    words = [word for word in tiny_fit if not word.startswith("--trainer.max_epochs")]
    words += [f"--run.folder={tmp_path}", "--trainer.max_epochs=5000"]
    process = subprocess.Popen(
        [*interruptible_command, *words, "--early_stopping.patience=9999"],
        stderr=subprocess.PIPE,
        text=True,
    )
    last = tmp_path / "checkpoints" / "last.ckpt"
    while not last.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 30
    assert f"every whole epoch is kept in {last}" in error
    assert f"go on: actionrnn fit --ckpt_path {last}" in error
    assert "Traceback" not in error


def test_ctrl_c_before_the_first_epoch_is_over_leaves_nothing(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(ActionRecognizer, "training_step", interrupted)
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'run'}"]) == 130
    assert not (tmp_path / "run").exists()
    assert "nothing is kept" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("fails", [False, True])
def test_after_a_run_a_signal_ends_the_process_as_before(
    fails: bool, tiny_run: Path, tiny_fit: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Between two runs, and in what comes after them, SIGTERM must not be swallowed."""
    if fails:
        monkeypatch.setattr(ActionRecognizer, "training_step", lambda *words: 1 / 0)
    before = signal.getsignal(signal.SIGTERM)
    assert (main([*tiny_fit, f"--run.folder={tmp_path / 'run'}"]) == 0) is not fails
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("verb", ["test", "validate", "predict"])
def test_ctrl_c_in_a_scoring_verb(
    verb: str, tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    monkeypatch.setattr(ActionRecognizer, "validation_step", interrupted)
    assert main([verb, "--ckpt_path", str(tiny_run / "checkpoints" / "best.ckpt")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before


@pytest.mark.slow
def test_what_does_not_end_by_itself_is_ended() -> None:
    code = (
        "import threading, time\n"
        "from actionrnn import process\n"
        "process.GRACE_SECONDS = 0.5\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "with process.interruptible(ends_process=True):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130


def test_a_process_that_goes_on_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionrnn.process.GRACE_SECONDS", 0.05)
    with pytest.raises(KeyboardInterrupt), interruptible(ends_process=False):
        signal.raise_signal(signal.SIGINT)
    time.sleep(0.2)
