"""A run folder is copied, moved, resumed, repeated, refused: what is written, and what is not."""

import csv
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from actionrnn.cli import main
from actionrnn.training.run_folder import StartedFolder


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def equal(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def last(run: Path) -> str:
    return str(run / "checkpoints" / "last.ckpt")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def epochs(run: Path) -> list[int]:
    with (run / "metrics.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of a run of three epochs, under a name that is not its own."""
    return Path(shutil.copytree(tiny_run, tmp_path / "copy"))


def test_a_copy_resumes_in_itself_and_keeps_its_best(
    run: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, best = hashes(tiny_run), weights(run, "best")
    figures = json.loads((run / "fit.json").read_text())
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--ckpt_path", "copy/checkpoints/last.ckpt", "--trainer.max_epochs=4"]) == 0
    assert hashes(tiny_run) == original
    assert os.listdir(tmp_path) == ["copy"]
    assert epochs(run) == [0, 1, 2, 3]
    after = json.loads((run / "fit.json").read_text())
    if after["best_epoch"] == figures["best_epoch"]:
        assert all(torch.equal(best[key], value) for key, value in weights(run, "best").items())
    assert after["validation"]["macro_accuracy"] >= figures["validation"]["macro_accuracy"]


def test_the_recipe_of_a_resumed_run_repeats_it_bit_for_bit(run: Path, tmp_path: Path) -> None:
    assert main(["fit", "--ckpt_path", last(run), "--trainer.max_epochs=5"]) == 0
    recipe = yaml.safe_load((run / "config.yaml").read_text())
    assert "ckpt_path" not in recipe
    assert str(run) not in (run / "config.yaml").read_text()
    assert recipe["trainer"]["max_epochs"] == 5
    assert len(recipe["model"]["schedule_phases"]) == 1
    words = ["fit", "--config", str(run / "config.yaml"), "--run.folder", str(tmp_path / "again")]
    assert main(words) == 0
    assert equal(run, tmp_path / "again")
    assert epochs(tmp_path / "again") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--model.hidden_size=17"], "--model.hidden_size 17 (the run: 16)"),
        (["--model.learning_rate=0.1"], "--model.learning_rate 0.1 (the run: 0.002)"),
        (["--data.batch_size=4"], "--data.batch_size 4 (the run: 8)"),
        (["--seed_everything=3"], "--seed_everything 3 (the run: 0)"),
        (["--model.cell=gru"], "--model.cell gru (the run: lstm)"),
        (["--features.sampling.num_frames=5"], "--features.sampling.num_frames 5 (the run: 6)"),
        (["--trainer.max_epochs=2"], "--trainer.max_epochs 2: the checkpoint has 3 already"),
        (["--run.folder=elsewhere"], "a run goes on in its own folder"),
        (["--run.overwrite=true"], "--run.overwrite is for new runs"),
        (["--early_stopping.monitor=val/loss"], "--early_stopping.monitor val/loss"),
    ],
)
def test_a_refused_resume_names_the_setting_and_changes_no_byte(
    run: Path, words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(run)
    assert main(["fit", "--ckpt_path", last(run), "--trainer.max_epochs=4", *words]) == 2
    assert named in capsys.readouterr().err
    assert hashes(run) == before


def test_a_resume_that_fails_late_changes_no_byte(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(run)
    words = ["fit", "--ckpt_path", last(run), "--trainer.max_epochs=4", "--trainer.logger=true"]
    assert main([*words, "--trainer.devices=0"]) == 2
    assert "--trainer.devices 0" in capsys.readouterr().err
    assert main([*words, "--data.root", str(tmp_path / "gone")]) == 1
    assert hashes(run) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--data.root=gone"], 1),
        (["--trainer.overfit_batches=0.0001"], 2),
        (["--trainer.callbacks+=pytorch_lightning.callbacks.LearningRateMonitor"], 2),
        (["--early_stopping.monitor=nope"], 2),
        (["--trainer.max_epochs=0"], 2),
        (["--trainer.max_time=00:00:00:00"], 2),
        (["--trainer.val_check_interval=500"], 2),
        (["--trainer.precision=bf16-true"], 2),
    ],
)
def test_a_failed_start_leaves_no_folder_and_says_the_flag(
    words: list[str], code: int, tiny_run: Path, tiny_fit: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'new' / 'run'}", *words]) == code
    assert os.listdir(tmp_path) == []
    error = capsys.readouterr().err.partition("actionrnn: error: ")[2]
    assert "Traceback" not in error
    assert len(error.splitlines()) <= 2
    if code == 2 and "+=" not in words[0]:
        assert words[0].partition("=")[0] in error


def test_a_folder_that_holds_a_run_is_not_written_over(
    run: Path, tiny_fit: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(run)
    words = [*tiny_fit, f"--run.folder={run}", "--model.cell=gru"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f"--ckpt_path {run}/checkpoints/last.ckpt" in error
    assert "--run.overwrite true" in error
    assert hashes(run) == before
    (run / "notes.txt").write_text("mine")
    assert main([*words, "--run.overwrite=true"]) == 0
    assert epochs(run) == [0, 1, 2]
    assert not (run / "predictions.parquet").exists(), "of the run that was replaced"
    assert (run / "notes.txt").read_text() == "mine"


def test_two_runs_in_one_folder_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = StartedFolder(run)
    before = hashes(run)
    assert main(["fit", "--ckpt_path", last(run), "--trainer.max_epochs=4"]) == 1
    assert f"a run is being trained here (process {os.getpid()} on " in capsys.readouterr().err
    assert hashes(run) == before
    started.release()
    assert not (run / ".lock").exists()


def test_leftovers_of_a_killed_save_and_rows_without_a_checkpoint_go(run: Path) -> None:
    (run / "checkpoints" / ".last.ckpt.123-0123abcd").write_text("half")
    (run / ".config.yaml.77-89abcdef").write_text("half")
    (run / ".mine").write_text("of the user")
    with (run / "metrics.csv").open("a") as file:
        file.write("3,99,0.1\n4,1")
    assert main(["fit", "--ckpt_path", last(run), "--trainer.max_epochs=5"]) == 0
    names = {path.name for path in run.rglob(".*")}
    assert names == {".mine"}
    assert epochs(run) == [0, 1, 2, 3, 4]


def test_a_run_goes_on_from_its_best_epoch_too(run: Path) -> None:
    epoch = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["epoch"]
    best = str(run / "checkpoints" / "best.ckpt")
    assert main(["fit", "--ckpt_path", best, "--trainer.max_epochs=4"]) == 0
    assert epochs(run) == [0, 1, 2, 3], epoch


@pytest.mark.parametrize(
    ("words", "saved"),
    [
        (["--trainer.check_val_every_n_epoch=5"], ["last.ckpt"]),
        (["--trainer.check_val_every_n_epoch=2"], ["best.ckpt", "last.ckpt"]),
        (["--trainer.limit_val_batches=0"], ["last.ckpt"]),
        (["--trainer.max_steps=2"], ["last.ckpt"]),
        (["--trainer.val_check_interval=0.5"], ["best.ckpt", "last.ckpt"]),
        (["--trainer.enable_checkpointing=false"], []),
    ],
)
def test_training_never_ends_without_a_model_and_names_one_that_is_there(
    words: list[str], saved: list[str], tiny_run: Path, tiny_fit: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main([*tiny_fit, f"--run.folder={tmp_path}", *words]) == 0
    found = sorted(path.name for path in tmp_path.rglob("*.ckpt"))
    assert found == saved or (found == ["best.ckpt", "last.ckpt"] and saved)
    said = capsys.readouterr().err
    if not saved:
        assert "next:" not in said
        return
    named = Path(said.split("--ckpt_path ")[1].split()[0])
    assert named.is_file()
    if "best.ckpt" not in found:
        assert "nothing was validated, so no epoch is best" in said
    assert main(["test", "--ckpt_path", str(named)]) == 0
    assert (tmp_path / "predictions.parquet").is_file()


def test_a_checkpoint_within_an_epoch_is_not_gone_on_with(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_fit, f"--run.folder={tmp_path}", "--trainer.max_steps=2"]
    assert main(words) == 0
    assert main(["fit", "--ckpt_path", last(tmp_path), "--trainer.max_steps=9"]) == 2
    assert "was saved within an epoch" in capsys.readouterr().err


def test_a_run_that_stopped_by_itself_wants_more_patience(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_fit, f"--run.folder={tmp_path}", "--trainer.max_epochs=9"]
    assert main([*words, "--early_stopping.patience=1", "--model.learning_rate=1e-30"]) == 0
    assert epochs(tmp_path) == [0, 1]
    assert main(["fit", "--ckpt_path", last(tmp_path)]) == 2
    assert "--early_stopping.patience 2" in capsys.readouterr().err
    assert main(["fit", "--ckpt_path", last(tmp_path), "--early_stopping.patience=3"]) == 0
    assert epochs(tmp_path) == [0, 1, 2, 3]


def test_files_of_a_run_can_be_read_by_others(tiny_run: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    for path in tiny_run.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path


def test_nothing_is_written_by_fast_dev_run(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_fit, f"--run.folder={tmp_path / 'run'}", "--trainer.fast_dev_run=true"]
    assert main(words) == 0
    assert os.listdir(tmp_path) == []
    assert "nothing was written" in capsys.readouterr().err


def test_a_part_of_the_clips_does_not_pass_for_all(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(run)
    best = ["--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    assert main(["test", *best, "--trainer.limit_test_batches=1"]) == 0
    assert "PART" in capsys.readouterr().out
    assert main(["predict", *best, "--trainer.limit_predict_batches=1"]) == 0
    assert hashes(run) == before
    asked = tmp_path / "part"
    words = ["--trainer.limit_test_batches=1", "--run.folder", str(asked)]
    assert main(["test", *best, *words]) == 0
    assert (asked / "metrics.json").is_file()


def test_results_name_their_checkpoint_and_those_of_the_last_stand_apart(run: Path) -> None:
    before = hashes(run)
    assert main(["test", "--ckpt_path", last(run)]) == 0
    after = hashes(run)
    assert {key: after[key] for key in before} == before
    assert after.keys() - before.keys() == {"metrics-last.json", "predictions-last.parquet"}
    found = json.loads((run / "metrics-last.json").read_text())
    assert found["checkpoint"]["path"] == str(Path(last(run)).resolve())
    assert found["checkpoint"]["sha256"] == before["checkpoints/last.ckpt"]
    assert found["checkpoint"]["epoch"] == 2
    assert found["data"]["split"] == "split1"
    assert found["command"]


def test_moved_data_is_found_by_its_root_and_no_folder_is_made_at_the_old_place(
    tiny_data: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_data, tmp_path / "d")
    words = [word for word in tiny_fit if not word.startswith("--data.root")]
    run = tmp_path / "run"
    assert main([*words, f"--data.root={tmp_path / 'd'}", f"--run.folder={run}"]) == 0
    shutil.move(tmp_path / "d", tmp_path / "d2")
    capsys.readouterr()
    assert main(["test", "--ckpt_path", last(run)]) == 1
    assert "--data.root FOLDER" in capsys.readouterr().err
    for verb in (["test"], ["fit", "--trainer.max_epochs=4"]):
        there = f"--data.root={tmp_path / 'd2'}"
        assert main([*verb, "--ckpt_path", last(run), there]) == 0
        assert "to extract" not in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_who_reads_no_further_is_no_error(tiny_run: Path) -> None:
    best = str(tiny_run / "checkpoints" / "best.ckpt")
    command = [sys.executable, "-m", "actionrnn", "predict", "--ckpt_path", best]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"rror" not in process.stderr.read()
    assert process.wait() == 0
