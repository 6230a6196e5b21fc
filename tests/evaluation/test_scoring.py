"""One path to a score: the Trainer's, the API's and a diagnosis's scores are the same."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import actionrnn
from actionrnn.cli import main
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.scoring import probabilities
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.checkpoint import SealedCheckpointIO, read_checkpoint
from actionrnn.training.finite import NotFinite

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_the_trainers_table_is_the_table_of_the_trained_model(tiny_run: Path) -> None:
    by_trainer = Predictions.load(tiny_run)
    model = TrainedModel.load(tiny_run / "checkpoints" / "best.ckpt")
    again = model.predictions("test")
    torch.testing.assert_close(again.logits(), by_trainer.logits())
    assert by_trainer.about == {**by_trainer.about, **again.about}
    stored = model.data.store.read(str(by_trainer.table["video_id"][0]))
    api = actionrnn.load(str(model.ckpt_path), device="cpu")
    probs_K = api.probabilities_of(torch.from_numpy(stored))
    torch.testing.assert_close(
        probs_K, torch.tensor(by_trainer.table["probs"][0]).double(), atol=1e-6, rtol=1e-5
    )
    scores_NVK = model.score("test")
    torch.testing.assert_close(probabilities(model.recognizer, scores_NVK)[0], probs_K)


@pytest.mark.parametrize("limit", ["--trainer.limit_test_batches=1", "--trainer.fast_dev_run=true"])
def test_a_part_is_scored_as_a_part_and_overwrites_nothing(
    run: Path, capsys: Capture, limit: str
) -> None:
    before = {name: (run / name).read_bytes() for name in ("metrics.json", "predictions.parquet")}
    num_clips = len(Predictions.load(run).table)
    checkpoint = str(run / "checkpoints" / "best.ckpt")
    capsys.readouterr()
    assert main(["test", "--ckpt_path", checkpoint, "--data.batch_size=3", limit]) == 0
    out, err = capsys.readouterr()
    assert f"PART: 3 of {num_clips} clips were scored" in " ".join(out.split())
    assert "unreadable" not in out
    assert "nothing was written" in err
    assert before == {name: (run / name).read_bytes() for name in before}


def test_a_limited_validation_counts_what_it_scored(run: Path, capsys: Capture) -> None:
    checkpoint = str(run / "checkpoints" / "best.ckpt")
    limit = ["--data.batch_size=2", "--trainer.limit_val_batches=1"]
    assert main(["validate", "--ckpt_path", checkpoint, *limit]) == 0
    assert "PART: 2 of" in capsys.readouterr().out


def test_weights_that_are_no_numbers_are_an_error(run: Path, capsys: Capture) -> None:
    file = run / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(file)
    name = next(key for key in checkpoint["state_dict"] if key.endswith("weight"))
    checkpoint["state_dict"][name].fill_(float("nan"))
    SealedCheckpointIO().save_checkpoint(checkpoint, file)
    before = json.loads((run / "metrics.json").read_text())
    assert main(["test", "--ckpt_path", str(file)]) == 1
    assert "scores are not finite" in capsys.readouterr().err
    assert json.loads((run / "metrics.json").read_text()) == before
    model = TrainedModel.load(file)
    with pytest.raises(NotFinite, match="not finite"):
        model.score("test")
    stored = model.data.store.read(str(model.data.part("test").table["video_id"].iloc[0]))
    with pytest.raises(NotFinite, match="not finite"):
        actionrnn.load(str(file), device="cpu").probabilities_of(torch.from_numpy(stored))
