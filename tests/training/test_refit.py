"""Which epoch counts, training on validation clips too, and several seeds as one model."""

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from actionrnn.cli import main
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.training import run
from actionrnn.training.batches import BatchOrder
from actionrnn.training.callbacks import rank, read_rows
from actionrnn.training.checkpoint import joined, read_checkpoint
from actionrnn.training.data import stable_hashes
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.selection import FEW_CLIPS, which_kept
from actionrnn.training.settings import Settings
from actionrnn.training.trainer import Built


def figures(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "fit.json").read_text())
    return found


def state(checkpoint: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = read_checkpoint(checkpoint)["state_dict"]
    return weights


def same(first: Path, second: Path) -> bool:
    one, two = state(first), state(second)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("num_rows", [1, 7, 42, 500])
def test_an_epoch_of_few_clips_goes_through_them_equally_often(num_rows: int) -> None:
    order = BatchOrder(num_rows, 32, shuffle=True, min_steps=20, seed=3)
    batches = list(order)
    times = torch.cat(batches).bincount(minlength=num_rows)
    assert len(batches) == len(order) >= 20
    assert times.min() == times.max()
    assert len(batches) - 20 <= -(-num_rows // 32)
    usual = BatchOrder(num_rows, 32, shuffle=True, seed=3)
    assert torch.equal(torch.cat(batches)[:num_rows], torch.cat(list(usual)))


def test_a_run_of_few_clips_takes_the_steps_that_were_asked_for(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path
) -> None:
    words = [*tiny_fit, f"--run.folder={tmp_path}", "--model.min_epoch_steps=30"]
    assert main(words) == 0
    steps = [int(row["step"]) for row in read_rows(tmp_path / "metrics.csv")[1]]
    assert steps[0] >= 30
    assert steps == [steps[0] * epoch for epoch in (1, 2, 3)]


def test_the_features_of_an_earlier_run_are_let_go(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier: list[weakref.ref[object]] = []
    build = run.build

    def watched(settings: Settings) -> Built:
        assert not any(each() for each in earlier)
        built = build(settings)
        earlier.append(weakref.ref(built.data))
        return built

    monkeypatch.setattr(run, "build", watched)
    gc.disable()  # it comes when it likes
    try:
        assert main([*tiny_fit, f"--run.folder={tmp_path}", "--refit=true", "--seeds=2"]) == 0
    finally:
        gc.enable()
    assert len(earlier) == 4


def test_of_equal_epochs_the_lower_loss_counts() -> None:
    assert rank({"macro_accuracy": 0.9, "loss": 0.2}) > rank({"macro_accuracy": 0.9, "loss": 0.3})
    assert rank({"macro_accuracy": 0.9, "loss": 9.0}) > rank({"macro_accuracy": 0.8, "loss": 0.3})
    assert rank({}) < rank({"macro_accuracy": 0.0, "loss": 9.0})


def test_few_clips_do_not_choose() -> None:
    assert which_kept("auto", FEW_CLIPS - 1) == "last"
    assert which_kept("auto", FEW_CLIPS) == "best"
    assert which_kept("best", 1) == "best"
    assert which_kept("last", 10**6) == "last"


@pytest.mark.parametrize("keep", ["last", "best"])
def test_the_kept_epoch_is_the_one_that_the_figures_are_of(
    keep: str, tiny_run: Path, tiny_fit: list[str], tmp_path: Path
) -> None:
    assert main([*tiny_fit, f"--run.folder={tmp_path}", f"--keep={keep}"]) == 0
    found, (_, rows) = figures(tmp_path), read_rows(tmp_path / "metrics.csv")
    scores = [(float(r["val/macro_accuracy"]), -float(r["val/loss"])) for r in rows]
    epoch = 2 if keep == "last" else int(np.lexsort(np.array(scores).T[::-1])[-1])
    assert found["best_epoch"] == epoch
    assert found["validation"]["loss"] == pytest.approx(-scores[epoch][1])
    assert read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["epoch"] == epoch
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 2


def test_refit_trains_on_validation_clips_too(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([*tiny_fit, f"--run.folder={run}", "--refit=true", "--keep=best"]) == 0
    assert "before it was trained with them" in capsys.readouterr().err
    choosing = figures(run / "choosing")
    found = figures(run)
    assert found["refit"]
    assert not choosing["refit"]
    assert found["validation"] == choosing["validation"]
    assert found["epochs"] == choosing["best_epoch"] + 1
    saved = read_checkpoint(run / "checkpoints" / "best.ckpt")[CHECKPOINT_KEY]
    data = next(Path(w.partition("=")[2]) for w in tiny_fit if w.startswith("--data.root"))
    table = pd.read_csv(data / "manifest.csv")
    used = table.loc[table["split1"].isin(("train", "val")), "video_id"].tolist()
    assert saved["identity"]["train_clips"].tolist() == stable_hashes(used).tolist()
    assert main(["test", f"--ckpt_path={run}"]) == 0
    assert main(["validate", f"--ckpt_path={run}"]) == 3
    assert "trained on the validation clips too" in capsys.readouterr().err
    # The recipe of the run repeats it bit for bit, and needs no choice any more.
    again = tmp_path / "again"
    assert main(["fit", f"--config={run / 'config.yaml'}", f"--run.folder={again}"]) == 0
    assert same(run / "checkpoints" / "last.ckpt", again / "checkpoints" / "last.ckpt")
    # What was finished before a break is not done again.
    broken = tmp_path / "broken"
    shutil.copytree(run / "choosing", broken / "choosing")
    time = (broken / "choosing" / "fit.json").stat().st_mtime_ns
    words = [*tiny_fit, f"--run.folder={broken}", "--refit=true", "--keep=best"]
    assert main([*words, "--model.dropout=0.5"]) == 2
    assert "is of other settings" in capsys.readouterr().err
    assert main(words) == 0
    assert (broken / "choosing" / "fit.json").stat().st_mtime_ns == time
    assert same(run / "checkpoints" / "last.ckpt", broken / "checkpoints" / "last.ckpt")


def test_inner_folds_validate_every_clip_and_never_a_test_clip(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path
) -> None:
    assert main([*tiny_fit, f"--run.folder={tmp_path}", "--inner=2"]) == 0
    found, inner = figures(tmp_path), pd.read_csv(tmp_path / "choosing" / "inner" / "manifest.csv")
    data = next(Path(w.partition("=")[2]) for w in tiny_fit if w.startswith("--data.root"))
    table = pd.read_csv(data / "manifest.csv")
    assert set(inner["video_id"]) == set(table.loc[table["split1"] != "test", "video_id"])
    assert found["num_val_clips"] == len(inner)
    runs = [figures(tmp_path / "choosing" / f"inner{fold}") for fold in (1, 2)]
    wanted = np.average(
        [run["validation"]["accuracy"] for run in runs],
        weights=[run["num_val_clips"] for run in runs],
    )
    assert found["validation"]["accuracy"] == pytest.approx(wanted)
    # Broken off in the last training, it goes on with the choice that was made.
    for path in tmp_path.iterdir():
        if path.name != "choosing":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main([*tiny_fit, f"--run.folder={tmp_path}", "--inner=2"]) == 0
    assert figures(tmp_path)["validation"] == found["validation"]


def test_seeds_as_one_model(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "seeds"
    assert main([*tiny_fit, f"--run.folder={run}", "--seeds=2", "--model.cell=gru"]) == 0
    for folder in (run, run / "seed0", run / "seed1"):
        assert main(["test", f"--ckpt_path={folder / 'checkpoints' / 'best.ckpt'}"]) == 0
    tables = [Predictions.load(folder) for folder in (run, run / "seed0", run / "seed1")]
    together, first, second = (table.logits().softmax(dim=-1) for table in tables)
    torch.testing.assert_close(together, (first + second) / 2)
    data = next(Path(w.partition("=")[2]) for w in tiny_fit if w.startswith("--data.root"))
    clip = next(data.rglob("*.mp4"))
    assert main(["predict", str(clip), f"--ckpt_path={run}"]) == 0
    capsys.readouterr()
    assert main(["fit", f"--ckpt_path={run / 'checkpoints' / 'best.ckpt'}"]) != 0
    assert "weights alone" in capsys.readouterr().err
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'x'}", "--model.members=2"]) == 2
    assert "--seeds N trains N runs" in capsys.readouterr().err


def test_members_may_have_searched_their_learning_rates_but_are_of_one_head(
    tiny_run: Path,
) -> None:
    first, other = (read_checkpoint(tiny_run / "checkpoints" / "best.ckpt") for _ in range(2))
    other[CHECKPOINT_KEY]["model"]["learning_rate"] *= 2
    assert joined([first, other])[CHECKPOINT_KEY]["model"]["members"] == 2
    other[CHECKPOINT_KEY]["model"]["cell"] = "gru"
    with pytest.raises(ActionRNNError, match="different heads"):
        joined([first, other])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--inner=1"], "--inner 1: 0 for none, or 2 folds and more"),
        (["--refit=true", "--trainer.fast_dev_run=true"], "leave out --trainer.fast_dev_run"),
        (["--inner=500"], "cannot make 500 folds"),
        (["--model.min_epoch_steps=0"], "--model.min_epoch_steps 0 is out of range"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str],
    said: str,
    tiny_run: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'run'}", *words]) != 0
    assert said in capsys.readouterr().err
