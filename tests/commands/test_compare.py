"""`actionrnn compare` and `actionrnn calibrate` through the command line."""

import json
import shutil
from pathlib import Path

import pytest

import actionrnn
from actionrnn.cli import main
from actionrnn.evaluation.predictions import Predictions
from actionrnn.training.checkpoint import read_checkpoint


def test_compare_reads_folders_and_files(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tiny_run), str(tiny_run / "predictions.parquet"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["accuracy"]["difference"] == 0
    assert main(["compare", str(tiny_run), str(tiny_run)]) == 0
    assert "1 group alone" in " ".join(capsys.readouterr().out.split())


def test_compare_needs_two_runs_that_exist(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tiny_run)]) == 2
    assert "compare RUN_A RUN_B" in capsys.readouterr().err
    assert main(["compare", str(tiny_run), "nowhere"]) == 1
    assert "actionrnn test --ckpt_path" in capsys.readouterr().err


@pytest.fixture
def own_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_the_temperature_is_applied_alike_by_test_validate_predict_and_the_api(
    own_run: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(own_run / "checkpoints" / "best.ckpt")
    before = Predictions.load(own_run)
    assert main(["calibrate", "--ckpt_path", checkpoint, "--json"]) == 0
    temperature = json.loads(capsys.readouterr().out)["temperature"]
    assert temperature != pytest.approx(1.0, abs=0.01)
    assert read_checkpoint(checkpoint)["actionrnn"]["temperature"] == temperature

    assert main(["test", "--ckpt_path", checkpoint]) == 0
    after = Predictions.load(own_run)
    assert after.about["temperature"] == temperature
    assert (after.table["pred"] == before.table["pred"]).all()
    assert (after.logits() * temperature).numpy() == pytest.approx(before.logits().numpy(), 1e-5)

    capsys.readouterr()
    row = after.table.iloc[0]
    video = str(tiny_data / row["path"])
    ranked = actionrnn.load(checkpoint, device="cpu").predict(video)
    probs = dict(zip(after.class_names, row["probs"], strict=True))
    for name, probability in ranked:
        assert probability == pytest.approx(probs[name], abs=1e-5)
    assert main(["predict", "--ckpt_path", checkpoint, "--videos", video, "--json"]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    assert top[0]["probability"] == pytest.approx(max(row["probs"]), abs=1e-5)

    assert main(["validate", "--ckpt_path", checkpoint]) == 0
    ece = float(capsys.readouterr().out.split("ECE) │ ")[1].split()[0])
    from actionrnn.evaluation.summary import summarise
    from actionrnn.evaluation.trained import TrainedModel

    validation = TrainedModel.load(checkpoint).predictions("val")
    assert ece == pytest.approx(summarise(validation).metrics["ece"], abs=6e-4)


def test_reset_takes_the_temperature_away(own_run: Path) -> None:
    checkpoint = str(own_run / "checkpoints" / "best.ckpt")
    assert main(["calibrate", "--ckpt_path", checkpoint]) == 0
    assert main(["calibrate", "--ckpt_path", checkpoint, "--reset"]) == 0
    assert read_checkpoint(checkpoint)["actionrnn"]["temperature"] == 1.0


def test_compare_trains_heads_and_writes_their_cost_and_accuracy(
    tiny_fit: list[str], tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *tiny_fit[1:], "--heads=gru,mean_pool", f"--run.folder={tmp_path}"]
    assert main([*words, "--trainer.max_epochs=2"]) == 0
    printed = capsys.readouterr().out
    assert "mean_pool" in printed
    result = json.loads((tmp_path / "compare.json").read_text())
    gru, pool = result["heads"]
    assert (gru["head"], pool["head"]) == ("gru", "mean_pool")
    assert gru["parameters"] > pool["parameters"]
    assert gru["epochs"] == 2
    for row in (gru, pool):
        metrics = json.loads((tmp_path / row["head"] / "metrics.json").read_text())
        assert row["accuracy"] == pytest.approx(metrics["accuracy"])
        assert row["auc"] == pytest.approx(metrics["auc"], abs=1e-6)
        assert row["train_ms"] > 0
        assert row["inference_ms"] > 0
    assert result["reference"] == "gru"
    assert pool["against_reference"] == "?"  # the tiny test clips are one group
    assert len((tmp_path / "compare.csv").read_text().splitlines()) == 3


def test_compare_measures_cells_at_lengths_without_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["compare", "--lengths=2,3", "--model.hidden_size", "4", "--feature_dim=3", "--clips=2"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["lengths"]
    assert list(found) == ["2", "3"]
    assert found["2"]["lstm"]["parameters"] == 4 * 4 * (3 + 4 + 2) + 4 * 10 + 10
    assert main(words) == 0
    assert "training step, ms per clip" in capsys.readouterr().out


def test_compare_names_mistakes(tiny_fit: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([*tiny_fit[1:], "--heads=gruu"], "did you mean gru"),
        ([*tiny_fit[1:], "--splits=splt1"], "did you mean split1"),
        (["--lengths=2,x"], "whole numbers"),
        (["--model.cell=gru"], "compare what?"),
        ([], "compare what?"),
    ):
        assert main(["compare", *words]) == 2
        assert message in capsys.readouterr().err
