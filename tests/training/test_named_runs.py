"""A run is enough: its folder, or its name, wherever a checkpoint is asked for."""

import os
import shutil
from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.training.named_runs import checkpoint_of, run_of, with_checkpoints


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of one name, the first of which has no best checkpoint."""
    monkeypatch.chdir(tmp_path)
    for age, (time, names) in enumerate({"t2": ("best", "last"), "t1": ("last",)}.items()):
        folder = tmp_path / "runs" / "mine" / time / "checkpoints"
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.ckpt").touch()
            os.utime(folder / f"{name}.ckpt", (1000 - age, 1000 - age))
    return tmp_path / "runs" / "mine"


def test_a_run_stands_for_its_checkpoint(runs: Path) -> None:
    best = "runs/mine/t2/checkpoints/best.ckpt"
    last = "runs/mine/t2/checkpoints/last.ckpt"
    for named in ("mine", "runs/mine", "runs/mine/t2", "mine/t2", "runs/mine/best", best):
        assert checkpoint_of(named) == best
    for named in ("mine/last", "runs/mine/t2/last", last):
        assert checkpoint_of(named) == last
    assert checkpoint_of("mine", "fit") == last, "a run goes on with its last epoch"
    assert checkpoint_of("mine/t1") == "runs/mine/t1/checkpoints/last.ckpt"
    for other in ("nobody", "https://example.org/a.ckpt", ""):
        assert checkpoint_of(other) == other


def test_it_is_found_among_the_words_of_any_verb(runs: Path) -> None:
    best = "runs/mine/t2/checkpoints/best.ckpt"
    words = ["a.mp4", "--ckpt_path", "mine", "--json"]
    assert with_checkpoints("explain", words) == ["a.mp4", "--ckpt_path", best, "--json"]
    assert with_checkpoints("test", ["--ckpt_path=mine"]) == [f"--ckpt_path={best}"]
    assert with_checkpoints("test", ["--ckpt_path"]) == ["--ckpt_path"]


def test_verbs_take_runs(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run, tmp_path / "runs" / "tiny" / "now")
    assert main(["validate", "--ckpt_path", "tiny"]) == 0
    assert "checkpoint: runs/tiny/now/checkpoints/best.ckpt" in capsys.readouterr().err
    assert main(["report", "tiny"]) == 0
    assert main(["compare", "tiny", "runs/tiny/now"]) == 0
    assert run_of("tiny") == Path("runs/tiny/now")
    assert main(["test", "--ckpt_path", "tinny"]) == 1
    assert "no such file" in capsys.readouterr().err


def test_a_video_is_no_checkpoint(tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = next(tiny_data.rglob("*.mp4"))
    assert main(["test", "--ckpt_path", str(video)]) == 1
    error = capsys.readouterr().err
    assert "is not a checkpoint of actionrnn" in error
    assert "weights_only" not in error, "never PyTorch's advice to load unsafely"
