"""fit, validate, test, predict through the real command line, on a tiny rendered dataset."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

import actionrnn
from actionrnn.cli import main
from actionrnn.evaluation.predictions import Predictions
from actionrnn.training.batches import Batch
from actionrnn.training.checkpoint import sealed
from actionrnn.training.recognizer import ActionRecognizer


def flat(config: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def weights(run: Path) -> dict[str, Tensor]:
    return torch.load(checkpoint(run), weights_only=True)["state_dict"]


def checkpoint(run: Path) -> str:
    return str(run / "checkpoints" / "best.ckpt")


def test_the_run_folder_holds_what_is_needed_to_trust_and_repeat_it(tiny_run: Path) -> None:
    names = {path.name for path in tiny_run.iterdir()}
    assert names >= {
        "config.yaml",
        "checkpoints",
        "metrics.csv",
        "predictions.parquet",
        "metrics.json",
        "env.json",
    }
    assert {path.name for path in (tiny_run / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }
    packages = json.loads((tiny_run / "env.json").read_text())["packages"]
    assert torch.__version__.startswith(packages["torch"])


def test_a_runs_own_config_repeats_it_bit_for_bit(tiny_run: Path, tmp_path: Path) -> None:
    words = ["fit", "--config", str(tiny_run / "config.yaml"), "--run.folder", str(tmp_path / "x")]
    assert main(words) == 0
    ours = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    again = torch.load(tmp_path / "x/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[key], again[key]) for key in ours)


def test_one_flag_changes_the_recurrent_type_and_nothing_else(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gru"
    assert main([*tiny_fit, f"--run.folder={folder}", "--model.cell", "gru"]) == 0
    assert "extract" not in capsys.readouterr().err  # the features were there
    old = flat(yaml.safe_load((tiny_run / "config.yaml").read_text()))
    new = flat(yaml.safe_load((folder / "config.yaml").read_text()))
    changed = {key for key in old | new if old.get(key) != new.get(key)}
    assert changed == {"model.cell"}


def test_checkpoints_are_plain_data_without_the_backbone(tiny_run: Path) -> None:
    loaded = torch.load(checkpoint(tiny_run), weights_only=True)
    assert all(key.startswith("head.") for key in loaded["state_dict"])
    saved = loaded["actionrnn"]
    assert len(saved["class_names"]) == 10
    assert saved["feature_spec"]["settings"]["backbone"]["name"] == "squeezenet1_1"


def test_every_way_to_score_a_clip_gives_the_same_probabilities(
    tiny_run: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = Predictions.load(tiny_run)
    row = scored.table.iloc[3]
    expected = dict(zip(scored.class_names, row["probs"], strict=True))
    video = str(tiny_data / row["path"])

    api = actionrnn.load(checkpoint(tiny_run)).predict(video)
    assert [label for label, _ in api] == sorted(expected, key=lambda label: -expected[label])
    assert dict(api) == pytest.approx(expected, abs=1e-5)

    words = ["predict", "--ckpt_path", checkpoint(tiny_run), "--videos", video, "--json"]
    assert main([*words, "--top_k", "10"]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    assert {one["label"]: one["probability"] for one in top} == pytest.approx(expected, abs=1e-5)

    assert main(["predict", "--ckpt_path", checkpoint(tiny_run)]) == 0
    printed = capsys.readouterr().out
    assert row["path"] in printed
    best, probability = api[0]
    shown = printed.split(row["path"])[1].splitlines()[1]
    assert best in shown
    assert f"{probability:.1%}" in shown


def test_a_head_that_pools_the_grid_of_its_features_is_rebuilt_from_its_checkpoint(
    tiny_fit: list[str], tiny_data: Path, tmp_path: Path
) -> None:
    words = ["--features.backbone.grid=2", "--model.grid_pooling=max", "--model.input_power=0.5"]
    assert main([*tiny_fit, f"--run.folder={tmp_path}", *words]) == 0
    assert main(["test", "--ckpt_path", checkpoint(tmp_path)]) == 0
    model = actionrnn.load(checkpoint(tmp_path))
    inputs = model.recognizer.head.inputs
    assert inputs.feature_dim == 4 * inputs.output_size
    scored = Predictions.load(tmp_path)
    row = scored.table.iloc[3]
    expected = dict(zip(scored.class_names, row["probs"], strict=True))
    assert dict(model.predict(tiny_data / row["path"])) == pytest.approx(expected, abs=1e-5)


def test_reducing_clips_once_changes_no_bit_of_a_run(
    tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--features.backbone.grid=2", "--model.grid_pooling=max", "--model.input_power=0.5"]
    words += ["--model.inputs=abs_delta"]
    widths: list[int] = []
    plain = ActionRecognizer.training_step

    def noted(self: ActionRecognizer, batch: Batch, batch_idx: int) -> Tensor:
        widths.append(batch.features_BVTD.shape[-1])
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(ActionRecognizer, "training_step", noted)
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'once'}", *words]) == 0
    monkeypatch.setattr(ActionRecognizer, "reduction", None)
    assert main([*tiny_fit, f"--run.folder={tmp_path / 'anew'}", *words]) == 0
    assert set(widths) == {512, 4 * 512}
    once, anew = (weights(tmp_path / name) for name in ("once", "anew"))
    assert all(torch.equal(once[key], anew[key]) for key in anew)


def test_validate_repeats_the_last_validation_of_fit(
    tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert main([*tiny_fit, f"--run.folder={folder}"]) == 0
    fitted = capsys.readouterr().err.split("epoch 3/3")[1].split("val accuracy ")[1][:5]
    assert main(["validate", "--ckpt_path", str(folder / "checkpoints/last.ckpt")]) == 0
    assert fitted in capsys.readouterr().out


def test_the_metrics_are_those_of_the_predictions(tiny_run: Path) -> None:
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    table = Predictions.load(tiny_run).table
    assert metrics["accuracy"] == pytest.approx(table["correct"].mean())
    by_class = table.groupby("label")["correct"].mean()
    assert metrics["macro_accuracy"] == pytest.approx(by_class.mean())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.cel", "gru"], "no setting --model.cel; did you mean model.cell"),
        (["--model.cell", "gruu"], "--model.cell gruu: must be one of rnn, lstm, gru"),
        (["--data.split", "split9"], "split9"),
        (["--data.root", "nowhere"], "actionrnn prepare"),
        (["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--model.dropout", "1.5"], "1.5"),
        (["--model.grid_pooling", "maxx"], "did you mean max"),
        (["--model.input_power", "2"], "input_power 2"),
        (["--features.backbone.grid", "0"], "grid 0"),
        (["--trainer.max_epochs", "many"], "trainer.max_epochs"),
        (["--features.backbone.name", "resnet19"], "did you mean resnet1"),
        (["--features.backbone.weights", "no.safetensors"], "no such file"),
    ],
)
def test_errors_name_the_key_the_value_and_the_near_miss(
    tiny_fit: list[str],
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*tiny_fit, f"--run.folder={tmp_path}", *words]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_typo_in_a_config_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "typo.yaml").write_text("model:\n  hiden_size: 3\n")
    assert main(["fit", "--config", str(tmp_path / "typo.yaml")]) == 2
    assert "model.hiden_size; did you mean model.hidden_size" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_scoring_needs_a_checkpoint(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--ckpt_path", "gone.ckpt"]) == 1
    assert "gone.ckpt: no such file" in capsys.readouterr().err


def test_foreign_and_damaged_checkpoints_are_refused(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    content = Path(checkpoint(tiny_run)).read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(content[: len(content) // 2])
    for name, said in (("foreign", "is not a checkpoint of actionrnn"), ("cut", "is damaged")):
        assert main(["test", "--ckpt_path", str(tmp_path / f"{name}.ckpt")]) == 1
        assert f"{name}.ckpt {said}" in capsys.readouterr().err
    assert main(["test", "--ckpt_path", "https://example.org/a.ckpt"]) == 1
    assert "download it first" in capsys.readouterr().err


def test_training_clips_are_not_tested_on(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    manifest = (tiny_data / "manifest.csv").read_text()
    swapped = manifest.replace(",train", ",TRAIN").replace(",test", ",train")
    (tiny_data / "swapped").mkdir(exist_ok=True)
    other = tiny_data / "swapped"
    (other / "manifest.csv").write_text(
        swapped.replace(",TRAIN", ",test").replace("videos/", "../videos/")
    )
    shutil.copy(tiny_data / "classes.txt", other)
    words = ["test", "--ckpt_path", checkpoint(run), "--data.root", str(other)]
    words += ["--data.features_dir", str(tmp_path / "features")]
    assert main(words) == 3
    assert "trained on by this checkpoint" in capsys.readouterr().err
    assert main([*words, "--data.allow_leak", "true"]) == 0
    assert "LEAKED" in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["leaked"] is True


def test_one_bad_video_does_not_stop_the_others(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(next(tiny_data.rglob("*.mp4")))
    (tmp_path / "bad.mp4").write_text("not a video")
    words = ["predict", "--ckpt_path", checkpoint(tiny_run), "--videos", str(tmp_path / "bad.mp4")]
    assert main([*words, good]) == 1
    captured = capsys.readouterr()
    assert "could not be read" in captured.out
    assert "1. " in captured.out.split(good)[1]
    assert "1 of 2 videos could not be read" in captured.err


def test_other_features_are_refused_and_other_decoders_are_said(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = torch.load(checkpoint(tiny_run), weights_only=True)
    spec = saved["actionrnn"]["feature_spec"]
    words = ["test", "--ckpt_path", str(tmp_path / "older.ckpt"), f"--run.folder={tmp_path}"]
    (tmp_path / "older.ckpt").write_bytes(sealed(saved))
    assert main([*words, "--features.transform.size=64"]) == 1
    assert "transform.size: 32, here 64" in capsys.readouterr().err
    spec["reader"] = "decord 0.0"
    (tmp_path / "older.ckpt").write_bytes(sealed(saved))
    assert main(words) == 0
    assert "made with reader: decord 0.0, here" in capsys.readouterr().err


def test_seeds_repeat_a_run_and_report_mean_and_spread(
    tiny_fit: list[str], tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_fit, "--seed_everything=5", "--seeds", "2"]
    assert main([*words, f"--run.folder={tmp_path}"]) == 0
    assert "mean" in capsys.readouterr().out
    summary = json.loads((tmp_path / "seeds.json").read_text())
    assert list(summary["seeds"]) == ["5", "6"]
    found = [
        json.loads((tmp_path / f"seed{seed}" / "fit.json").read_text())["validation"]["accuracy"]
        for seed in (5, 6)
    ]
    assert summary["mean"]["accuracy"] == pytest.approx(sum(found) / 2)
    assert summary["sd"]["accuracy"] == pytest.approx(abs(found[0] - found[1]) / 2**0.5)
    weights = [
        torch.load(tmp_path / f"seed{seed}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for seed in (5, 6)
    ]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    # Each seed's run is the run that seed gives by itself.
    alone = tmp_path / "alone"
    assert main([*tiny_fit, "--seed_everything=6", f"--run.folder={alone}"]) == 0
    again = torch.load(alone / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(again[key], weights[1][key]) for key in again)


def test_seeds_must_be_a_number_and_start_new_runs(
    tiny_fit: list[str], tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(tiny_run / "checkpoints" / "last.ckpt")
    for words, message in (
        ([*tiny_fit, "--seeds=0"], "whole number from 1 on"),
        ([*tiny_fit, "--seeds=many"], "--seeds: "),
        ([*tiny_fit, "--seeds=2", "--ckpt_path", last], "resume one of them by itself"),
        (["test", "--ckpt_path", last, "--seeds=2"], "only fit, folds and compare repeat runs"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err


def test_half_precision_trains_and_stays_finite(
    tiny_fit: list[str], tiny_run: Path, tmp_path: Path
) -> None:
    for cell in ("lstm", "mingru"):
        words = [*tiny_fit, f"--model.cell={cell}", "--trainer.precision=bf16-mixed"]
        assert main([*words, f"--run.folder={tmp_path / cell}"]) == 0
        saved = torch.load(tmp_path / cell / "checkpoints/last.ckpt", weights_only=True)
        assert all(value.isfinite().all() for value in saved["state_dict"].values())
        assert all(value.dtype == torch.float32 for value in saved["state_dict"].values())
        validation = json.loads((tmp_path / cell / "fit.json").read_text())["validation"]
        assert validation["loss"] < 5
