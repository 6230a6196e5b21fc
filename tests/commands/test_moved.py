"""Weights and data that are elsewhere now: found by option, told by content, never mixed up."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

import actionrnn
from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.features import extract
from actionrnn.features.spec import BackboneConfig
from actionrnn.features.store import FeatureStore
from actionrnn.features.weights import build_model


def small(tiny_data: Path, root: Path) -> Path:
    """30 clips of the tiny dataset, in a folder of their own."""
    whole = Manifest.load(tiny_data)
    table = whole.table.iloc[::2].reset_index(drop=True)
    for path in table["path"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tiny_data / path, root / path)
    Manifest(root, table, whole.class_names).save()
    return root


def words(root: Path, run: Path, *more: str) -> list[str]:
    return [
        "fit", f"--data.root={root}", f"--run.folder={run}", "--trainer.max_epochs=1",
        "--trainer.logger=false", "--model.hidden_size=8", "--features.sampling.num_frames=2",
        "--features.transform.size=32", "--features.transform.resize=squash",
        "--features.backbone.name=squeezenet1_1", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def moved(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run whose weights file and whose data were moved after the training."""
    folder = tmp_path_factory.mktemp("moved")
    weights = {}
    for seed, name in enumerate(("old", "wrong")):
        weights[name] = folder / f"{name}.safetensors"
        model = build_model(BackboneConfig("squeezenet1_1", "random", seed=seed))
        save_file(model.state_dict(), weights[name])
    root = small(tiny_data, folder / "data")
    assert main(words(root, folder / "run", f"--features.backbone.weights={weights['old']}")) == 0
    new = weights["old"].rename(folder / "new.safetensors")
    return {
        "ckpt": folder / "run" / "checkpoints" / "best.ckpt",
        "root": root.rename(folder / "elsewhere"),
        "old_root": folder / "data",
        "new": new,
        "wrong": weights["wrong"],
    }


def video(moved: dict[str, Path]) -> str:
    return str(Manifest.load(moved["root"]).video_paths()[0])


def test_data_that_moved_is_asked_for_and_found_with_its_features(
    moved: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    test = ["test", "--ckpt_path", str(moved["ckpt"])]
    assert main(test) == 1
    assert "say where it is now: --data.root FOLDER" in capsys.readouterr().err
    assert main([*test, f"--data.root={moved['root']}"]) == 0, "no weights are needed"
    assert "to extract" not in capsys.readouterr().err
    assert not moved["old_root"].exists(), "nothing is written where the data was"
    with pytest.raises(ActionRNNError, match=r"--data\.root FOLDER"):
        TrainedModel.load(moved["ckpt"])


def test_videos_are_predicted_with_weights_that_moved(
    moved: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    predict = ["predict", "--ckpt_path", str(moved["ckpt"]), "--json", "--videos", video(moved)]
    option = "--features.backbone.weights"
    assert main(predict) == 1
    assert f"where they are now: {option} FILE" in capsys.readouterr().err
    assert main([*predict, option, str(moved["wrong"])]) == 1
    assert "are not the wanted ones" in capsys.readouterr().err
    assert main([*predict, option, str(moved["new"])]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    again = actionrnn.load(str(moved["ckpt"]), device="cpu", weights=str(moved["new"]))
    found = again.predict(video(moved), top_k=5)
    assert [(each.label, each.probability) for each in found] == [
        (each["label"], pytest.approx(each["probability"])) for each in top
    ]


def test_missing_features_are_made_with_weights_that_moved(
    moved: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into the features of the data that is asked for, and of no other."""
    before = sorted(moved["root"].rglob("*"))
    other = shutil.copytree(
        moved["root"], tmp_path / "other", ignore=shutil.ignore_patterns("features")
    )
    test = ["test", "--ckpt_path", str(moved["ckpt"]), f"--data.root={other}"]
    test += [f"--run.folder={tmp_path / 'run'}"]
    option = "--features.backbone.weights"
    assert main(test) == 1
    assert f"where they are now: {option} FILE" in capsys.readouterr().err
    assert main([*test, option, str(moved["wrong"])]) == 1
    assert "are not the wanted ones" in capsys.readouterr().err
    assert main([*test, option, str(moved["new"])]) == 0
    (one,), (two,) = ((root / "features").iterdir() for root in (moved["root"], other))
    assert one.name == two.name
    assert len(FeatureStore.open(two).video_ids) == 30
    assert sorted(moved["root"].rglob("*")) == before
    run = TrainedModel.load(moved["ckpt"], root=str(other), weights=str(moved["new"]))
    assert run.data.store.folder == two


def test_a_features_folder_of_other_data_is_not_written(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = small(tiny_data, tmp_path / "a")
    apart = tmp_path / "apart"
    more = ["--features.backbone.weights=random", f"--data.features_dir={apart}"]
    assert main(words(root, tmp_path / "run", *more)) == 0
    before = sorted(apart.rglob("*"))
    other = shutil.copytree(root, tmp_path / "b", copy_function=shutil.copy)
    ckpt = ["--ckpt_path", str(tmp_path / "run" / "checkpoints" / "best.ckpt")]
    assert main(["test", *ckpt, "--data.root", str(other)]) == 0
    assert sorted(apart.rglob("*")) == before
    assert (other / "features").is_dir()
    monkeypatch.setattr(extract, "DecoderPool", pytest.fail)
    assert main(["test", *ckpt, "--data.root", str(root)]) == 0, "its own stay where they are"


def test_what_would_be_refused_is_refused_before_work(
    tiny_data: Path, moved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(extract, "DecoderPool", pytest.fail)
    root = small(tiny_data, tmp_path / "data")
    manifest = Manifest.load(root)
    test = ["test", "--ckpt_path", str(moved["ckpt"]), f"--data.root={root}"]
    assert main([*test, "--features.transform.size=48"]) == 1
    assert "transform.size: 32, here 48" in capsys.readouterr().err
    assert main([*test, "--data.subset=train"]) in (1, 3)
    renamed = [f"{name}2" for name in manifest.class_names]
    table = manifest.table.assign(label=[f"{label}2" for label in manifest.table["label"]])
    Manifest(root, table, renamed).save()
    assert main(test) == 1
    assert "they must be the same, in the same order" in capsys.readouterr().err
    Manifest(root, manifest.table.assign(split1="train"), manifest.class_names).save()
    assert main(words(root, tmp_path / "run", "--features.backbone.weights=random")) == 3
    assert "no clip is 'val' in column 'split1'" in capsys.readouterr().err
