"""Run folders on an address: whatever happens, what is there is a run that can be gone on with."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import actionrnn
from actionrnn import places, run_copies
from actionrnn.cli import main
from actionrnn.errors import ActionRNNError, Unreachable
from actionrnn.places import below, place, put, remove
from actionrnn.run_copies import RunCopy, fetched
from actionrnn.training.recognizer import ActionRecognizer

S3 = "s3://bucket/runs/mine"


@pytest.fixture(autouse=True)
def fetched_anew() -> Iterator[None]:
    fetched.cache_clear()
    yield
    fetched.cache_clear()


def names(address: str) -> set[str]:
    return set(below(place(address)))


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return found


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def assert_says_nothing_of(cache: Path, run: str) -> None:
    """What is read elsewhere must not name a copy that is gone."""
    for name in names(run):
        assert str(cache).encode() not in (place(run) / name).read_bytes(), name


def test_a_run_lives_on_an_address(
    memory: str, tiny_fit: list[str], tmp_path: Path, own_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = f"{memory}/runs/mine"
    assert main([*tiny_fit, f"--run.folder={run}"]) == 0
    assert {"config.yaml", "fit.json", "checkpoints/best.ckpt", "metrics.csv"} <= names(run)
    said = capsys.readouterr().err
    assert f"run folder: {run}\n" in said
    assert f"actionrnn test --ckpt_path {run}/checkpoints/best.ckpt" in said
    assert str(own_cache) not in said
    assert not list((own_cache / "runs").iterdir()), "no copy is left"

    for named in (run, f"{run}/last", f"{run}/checkpoints/best.ckpt"):
        assert main(["test", "--ckpt_path", named]) == 0
        assert f"written: {run}/predictions" in capsys.readouterr().err
    assert {"metrics.json", "predictions.parquet"} <= names(run)
    capsys.readouterr()
    assert main(["report", run]) == 0
    assert capsys.readouterr().out == f"{run}/report.html\n"
    assert "report.html" in names(run)
    assert main(["compare", run, f"{run}/predictions.parquet"]) == 0
    capsys.readouterr()

    assert main([*tiny_fit, f"--run.folder={run}"]) == 2
    assert f"--run.folder {run} holds a run" in capsys.readouterr().err
    shutil.copytree(fetched(run), tmp_path / "local")
    for each in (run, str(tmp_path / "local")):
        assert main(["fit", "--ckpt_path", each, "--trainer.max_epochs=5"]) == 0
    fetched.cache_clear()
    last = Path("checkpoints", "last.ckpt")
    assert same(fetched(run) / last, tmp_path / "local" / last)

    assert actionrnn.Run.load(run).figures is not None
    assert actionrnn.load(run).class_names
    assert_says_nothing_of(own_cache, run)


@pytest.mark.slow
def test_several_runs_live_on_an_address(
    memory: str, tiny_fit: list[str], own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [*tiny_fit[1:], "--trainer.max_epochs=1"]
    assert main(["fit", *few, f"--run.folder={memory}/seeds", "--seeds=2"]) == 0
    assert main(["test", "--ckpt_path", f"{memory}/seeds"]) == 0
    assert main(["folds", *few, f"--run.folder={memory}/folds"]) == 0
    assert main(["compare", *few, f"--run.folder={memory}/heads", "--heads=gru,mean_pool"]) == 0
    assert main(["diagnose", "order", "--ckpt_path", f"{memory}/heads/gru"]) == 0
    assert {"folds.json", "split1/metrics.json"} <= names(f"{memory}/folds")
    assert "diagnostics/order.json" in names(f"{memory}/heads/gru")
    for name in ("seeds", "folds", "heads"):
        assert_says_nothing_of(own_cache, f"{memory}/{name}")
    assert str(own_cache) not in capsys.readouterr().err


def test_a_sweep_lives_on_an_address(
    memory: str, tiny_fit: list[str], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr(run_copies, "SECONDS_BETWEEN", 0.02)
    run = f"{memory}/sweep"
    few = [*tiny_fit[1:], "--trainer.max_epochs=1", f"--run.folder={run}"]
    assert main(["sweep", *few, "--trials=2"]) == 0
    assert {"study.db", "best.yaml", "trials.csv"} <= names(run)
    assert main(["sweep", "--resume", run, "--trials=3"]) == 0
    assert len((place(run) / "trials.csv").read_text().splitlines()) == 4
    best = ["--config", f"{run}/best.yaml", "--run.folder", f"{memory}/best"]
    assert main(["fit", *tiny_fit[1:3], *best, "--trainer.max_epochs=1"]) == 0
    for name in ("sweep", "best"):
        assert_says_nothing_of(own_cache, f"{memory}/{name}")


def test_a_data_base_is_put_as_it_is_between_two_transactions(memory: str, tmp_path: Path) -> None:
    copy = RunCopy(place(f"{memory}/run"), tmp_path / "run")
    copy.fetch()
    with contextlib.closing(sqlite3.connect(copy.folder / "study.db")) as study:
        study.execute("create table t (x)")
        study.execute("insert into t values (1)")
        study.commit()
        copy.send()
        whole = (copy.address / "study.db").read_bytes()
        study.execute("insert into t values (2)")
        study.execute("pragma cache_spill = 1")
        assert (copy.folder / "study.db-journal").exists()
        (copy.folder / "study.db").touch()
        copy.send()
        assert names(f"{memory}/run") == {"study.db"}
        assert (copy.address / "study.db").read_bytes() == whole
        study.commit()
    copy.send()
    (tmp_path / "back.db").write_bytes((copy.address / "study.db").read_bytes())
    with contextlib.closing(sqlite3.connect(tmp_path / "back.db")) as back:
        assert back.execute("select x from t").fetchall() == [(1,), (2,)]


def test_a_run_that_is_replaced_leaves_nothing_of_the_old_one(
    memory: str, tiny_fit: list[str]
) -> None:
    run = f"{memory}/mine"
    assert main([*tiny_fit, f"--run.folder={run}"]) == 0
    assert main(["test", "--ckpt_path", run]) == 0
    words = [*tiny_fit, f"--run.folder={run}", "--run.overwrite=true"]
    assert main(words) == 0
    assert "config.yaml" in names(run)
    assert not {"metrics.json", "predictions.parquet"} & names(run)


TRAIN = """
import sys
from actionrnn import run_copies
from actionrnn.cli import main
run_copies.SECONDS_BETWEEN = 0.05
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_whose_machine_is_lost_goes_on_elsewhere(
    s3: Any, tiny_fit: list[str], tmp_path: Path, own_cache: Path
) -> None:
    long = [*tiny_fit, "--trainer.max_epochs=400"]
    process = subprocess.Popen([sys.executable, "-c", TRAIN, *long, f"--run.folder={S3}"])
    deadline = time.monotonic() + 120
    while "checkpoints/last.ckpt" not in names(S3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = fetched(S3)
    epoch = torch.load(left / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]
    assert epoch < 399
    rows = (left / "metrics.csv").read_text().splitlines()
    assert len(rows) - 1 >= epoch + 1, "figures are never behind the checkpoint"
    shutil.copytree(left, tmp_path / "local")
    for each in (S3, str(tmp_path / "local")):
        assert main(["fit", "--ckpt_path", each, f"--trainer.max_epochs={epoch + 6}"]) == 0
    fetched.cache_clear()
    last = Path("checkpoints", "last.ckpt")
    assert same(fetched(S3) / last, tmp_path / "local" / last)


def test_what_two_write_is_not_mixed(
    memory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = place(f"{memory}/run")
    (tmp_path / "old").write_text("old")
    put(tmp_path / "old", address / "metrics.csv")
    first, second = (RunCopy(address, tmp_path / name) for name in ("a", "b"))
    first.fetch()
    second.fetch()
    (first.folder / "metrics.csv").write_text("of the first")
    (second.folder / "metrics.csv").write_text("of the second")
    first.send()
    with pytest.raises(ActionRNNError, match=r"another process has written metrics.csv there"):
        second.send()
    assert (address / "metrics.csv").read_text() == "of the first"
    (second.folder / "metrics.csv").unlink()
    with pytest.raises(ActionRNNError, match="another process"):
        second.send()
    (first.folder / "metrics.csv").write_text("again")
    first.send()
    assert (address / "metrics.csv").read_text() == "again"


def test_checkpoints_are_put_after_all_else_and_only_what_changed(s3: Any, tmp_path: Path) -> None:
    copy = RunCopy(place(S3), tmp_path / "run")
    copy.fetch()
    (copy.folder / "checkpoints").mkdir()
    for name in ("checkpoints/last.ckpt", "metrics.csv", "a.json", ".lock"):
        (copy.folder / name).write_text(name)
    s3.requests.clear()
    copy.send()
    written = [line.split("/runs/mine/")[1] for line in s3.requests if line.startswith("PUT")]
    assert written == ["a.json", "metrics.csv", "checkpoints/last.ckpt"]
    (copy.folder / "a.json").write_text("longer than before")
    (copy.folder / "metrics.csv").unlink()
    s3.requests.clear()
    copy.send()
    assert [line.split("/runs/mine/")[1] for line in s3.requests if line.startswith("PUT")] == [
        "a.json"
    ]
    assert names(S3) == {"a.json", "checkpoints/last.ckpt"}
    s3.requests.clear()
    copy.send()
    assert not s3.requests


@pytest.mark.parametrize("fault", ["slow down", "internal"])
def test_a_storage_that_is_busy_for_a_moment_is_waited_for(
    s3: Any, fault: str, tiny_fit: list[str]
) -> None:
    s3.times("last.ckpt", fault, 2)
    assert main([*tiny_fit, f"--run.folder={S3}"]) == 0
    assert "checkpoints/last.ckpt" in names(S3)


def test_what_cannot_be_put_is_kept_here_and_said(
    s3: Any, tiny_fit: list[str], own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.fault = lambda request: "expired" if request.startswith("PUT") else None
    assert main([*tiny_fit, f"--run.folder={S3}"]) == 1
    said = capsys.readouterr().err
    assert "Renew the credentials" in said
    (base,) = (own_cache / "runs").iterdir()
    assert f"what it did is kept below {base}" in said
    assert list(base.rglob("best.ckpt"))
    s3.fault = lambda _: None
    assert names(S3) == set(), "nothing half"


def test_a_command_that_fails_keeps_the_address_up_and_its_own_error(
    memory: str, tiny_fit: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"{memory}/mine"
    assert main([*tiny_fit, f"--run.folder={run}", "--model.hidden_size=-1"]) != 0
    assert names(run) == set()
    assert "hidden_size" in capsys.readouterr().err


def test_what_is_not_there_or_cannot_be_shared_is_said(
    memory: str, tiny_fit: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for words in (["test", "--ckpt_path", f"{memory}/none"], ["report", f"{memory}/none"]):
        assert main(words) == 1
        assert f"there is no run at {memory}/none" in capsys.readouterr().err
    with pytest.raises(ActionRNNError, match="there is no run at"):
        actionrnn.load(f"{memory}/none")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*tiny_fit, f"--run.folder={memory}/mine"]) == 2
    assert "cannot share a run folder on an address" in capsys.readouterr().err


def test_processes_that_lightning_starts_work_in_the_same_copy(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = f"{memory}/mine"
    monkeypatch.setenv(run_copies.VARIABLE, json.dumps({run: str(tmp_path)}))
    monkeypatch.setenv("LOCAL_RANK", "1")
    words = ["--run.folder", run, "--ckpt_path", f"{run}/checkpoints/last.ckpt"]
    with run_copies.with_copies("fit", words) as local:
        assert local == [
            "--run.folder", str(tmp_path), "--ckpt_path", f"{tmp_path}/checkpoints/last.ckpt"
        ]  # fmt: skip
    assert os.environ[run_copies.VARIABLE]


def test_a_name_that_leads_out_of_the_folder_is_refused(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"../evil": places.Object(1, "x")}
    monkeypatch.setattr(run_copies, "below", lambda _: there)
    with pytest.raises(ActionRNNError, match=r"'\.\./evil' is no file of a run folder"):
        RunCopy(place(f"{memory}/run"), tmp_path / "run").fetch()
    assert not (tmp_path / "evil").exists()


def test_an_object_is_removed_once(memory: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    put(tmp_path / "x", place(f"{memory}/x"))
    remove(place(f"{memory}/x"))
    remove(place(f"{memory}/x"))
    assert names(memory) == set()


@pytest.mark.slow
def test_inner_folds_that_were_broken_off_go_on(
    memory: str, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(folder: str) -> list[str]:
        return [*tiny_fit, "--inner=2", f"--run.folder={folder}"]

    def broken(*_: object) -> torch.Tensor:
        raise OSError("power cut")

    run = f"{memory}/inner"
    with monkeypatch.context() as patch:
        plain = ActionRecognizer.training_step
        patch.setattr(
            ActionRecognizer,
            "training_step",
            lambda module, batch, number: (
                broken() if module.data.split == "split2" else plain(module, batch, number)
            ),
        )
        assert main(words(run)) == 1
    first = place(run) / "choosing" / "inner1" / "fit.json"
    written = first.read_bytes()
    assert main(words(run)) == 0
    assert first.read_bytes() == written, "what was finished is not trained again"
    assert main(words(str(tmp_path / "local"))) == 0
    fetched.cache_clear()
    best = Path("checkpoints", "best.ckpt")
    assert same(fetched(run) / best, tmp_path / "local" / best)


def test_what_lies_beside_a_lone_file_is_not_fetched(
    s3: Any, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'run'}"]) == 0
    lone = place("s3://bucket/best.ckpt")
    put(tmp_path / "run" / "checkpoints" / "best.ckpt", lone)
    put(tmp_path / "run" / "config.yaml", place("s3://bucket/other.yaml"))
    put(tmp_path / "run" / "fit.json", place("s3://bucket/large/beside.bin"))
    s3.requests.clear()
    assert main(["validate", "--ckpt_path", str(lone)]) == 0
    assert actionrnn.load(str(lone)).class_names
    words = ["--config", "s3://bucket/other.yaml", f"--run.folder={tmp_path / 'again'}"]
    assert main(["fit", *words, "--trainer.max_epochs=1"]) == 0
    fetched_names = [line for line in s3.requests if line.startswith("GET")]
    assert fetched_names
    assert not [line for line in s3.requests if "beside" in line or "prefix=&" in line]
    assert main(["validate", "--ckpt_path", "s3://bucket/none.ckpt"]) == 1
    assert "there is no run at s3://bucket" in capsys.readouterr().err


def test_a_write_whose_answer_was_lost_is_not_anothers(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = RunCopy(place(f"{memory}/run"), tmp_path / "run")
    copy.fetch()
    (copy.folder / "a.json").write_text("one")

    def unanswered(file: Path, target: Path) -> None:
        put(file, target)
        raise Unreachable("no answer came")

    with monkeypatch.context() as patch:
        patch.setattr(run_copies, "put", unanswered)
        with pytest.raises(Unreachable):
            copy.send()
    (copy.folder / "a.json").write_text("and two")
    copy.send()
    assert (copy.address / "a.json").read_text() == "and two"
    put(tmp_path / "run" / "a.json", copy.address / "a.json")  # by another process
    (copy.folder / "a.json").write_text("and three")
    with pytest.raises(ActionRNNError, match="another process"):
        copy.send()


def test_every_data_base_keeps_its_own_content(memory: str, tmp_path: Path) -> None:
    copy = RunCopy(place(f"{memory}/run"), tmp_path / "run")
    copy.fetch()
    for name in ("split1", "split2"):
        (copy.folder / name).mkdir()
        (copy.folder / name / "study.db").write_text(name)
    copy.send()
    for name in ("split1", "split2"):
        assert (copy.address / name / "study.db").read_text() == name
