"""Several splits and several seeds in one command: `folds` and `compare --splits all`."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from actionrnn.cli import main
from actionrnn.evaluation.folds import ensemble, mean_over_folds
from actionrnn.evaluation.predictions import Predictions
from actionrnn.features.store import FeatureStore


@pytest.fixture
def two_splits(tiny_data: Path, tiny_run: Path, tiny_fit: list[str], tmp_path: Path) -> list[str]:
    """Words of `fit` on a dataset whose second split tests what the first one validates."""
    table = pd.read_csv(tiny_data / "manifest.csv", dtype=str, keep_default_na=False)
    table["split2"] = table["split1"].replace({"test": "val", "val": "test"})
    table["path"] = str(tiny_data) + "/" + table["path"]
    root = tmp_path / "data"
    root.mkdir()
    table.to_csv(root / "manifest.csv", index=False)
    (root / "classes.txt").write_text((tiny_data / "classes.txt").read_text())
    words = [word for word in tiny_fit[1:] if "data.root" not in word and "max_epochs" not in word]
    features = f"--data.features_dir={tiny_data / 'features'}"
    return [*words, f"--data.root={root}", features, "--trainer.max_epochs=2"]


@pytest.mark.slow
def test_seeds_are_averaged_within_a_fold_and_spread_over_folds(
    two_splits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folds"
    assert main(["folds", *two_splits, "--seeds=2", f"--run.folder={folder}"]) == 0
    out = capsys.readouterr().out
    assert "together: a fold's seeds as one model" in out
    assert "no intervals: 2 groups only" in out
    summary = json.loads((folder / "folds.json").read_text())
    fold_tables = [
        [Predictions.load(folder / split / f"seed{seed}") for seed in (0, 1)]
        for split in summary["folds"]
    ]
    expected = mean_over_folds([ensemble(tables) for tables in fold_tables])
    for key, found in summary["together"].items():
        assert found["mean"] == expected[key].value
        bounds = expected[key].interval
        assert found["interval"] == (list(bounds) if bounds else None)
    found = {
        (split, seed): json.loads((folder / split / f"seed{seed}" / "metrics.json").read_text())
        for split in ("split1", "split2")
        for seed in (0, 1)
    }
    for key in ("accuracy", "auc"):
        folds = [(found[split, 0][key] + found[split, 1][key]) / 2 for split in summary["folds"]]
        seeds = [(found["split1", seed][key] + found["split2", seed][key]) / 2 for seed in (0, 1)]
        assert [fold[key] for fold in summary["folds"].values()] == pytest.approx(folds)
        assert summary["mean"][key] == pytest.approx(sum(folds) / 2)
        assert summary["sd"][key] == pytest.approx(abs(folds[0] - folds[1]) / 2**0.5)
        assert [each[key] for each in summary["seeds"]["each"].values()] == pytest.approx(seeds)
        assert summary["intervals"][key] is None
        assert summary["no_interval"][key] == "2 groups only"


@pytest.mark.slow
def test_each_fold_chooses_its_settings_without_its_test_clips(
    two_splits: list[str],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "space.yaml").write_text("model.cell: [gru, mingru]\n")
    folder = tmp_path / "folds"
    words = ["folds", *two_splits, f"--space={tmp_path / 'space.yaml'}", "--inner=2"]
    words.append(f"--run.folder={folder}")
    seen: dict[str, set[str]] = {}
    plain = FeatureStore.positions

    def noted(self: FeatureStore, video_ids: list[str]) -> object:
        tested = [split for split in ("split1", "split2") if (folder / split).exists()]
        seen.setdefault(f"{len(list(folder.glob('choice/*')))} {tested}", set()).update(video_ids)
        return plain(self, video_ids)

    monkeypatch.setattr(FeatureStore, "positions", noted)
    assert main(words) == 0
    table = pd.read_csv(tmp_path / "data" / "manifest.csv", dtype=str).set_index("video_id")
    assert set(table.loc[sorted(seen["1 []"]), "split1"]) == {"train", "val"}
    assert set(table.loc[sorted(seen["2 []"]), "split2"]) == {"train", "val"}

    summary = json.loads((folder / "folds.json").read_text())
    for split, choice in summary["chosen"].items():
        trials = pd.read_csv(folder / "choice" / split / "trials.csv")
        assert choice["inner_macro_accuracy"] == trials["macro_accuracy"].max()
        assert choice["settings"] == {"model.cell": trials["model.cell"][0]}
        config = yaml.safe_load((folder / split / "config.yaml").read_text())
        assert config["model"]["cell"] == trials["model.cell"][0]
        inner = pd.read_csv(folder / "choice" / split / "inner" / "manifest.csv", dtype=str)
        assert set(table.loc[inner["video_id"], split]) == {"train", "val"}
        assert (inner["split1"] != inner["split2"]).all()
    assert "split2 takes --model.cell=" in capsys.readouterr().err

    assert main(words) == 2, "runs that are finished are not written over unasked"
    words.append("--run.overwrite=true")
    assert main(words) == 0, "the choice is kept, and the folds are trained again"
    assert json.loads((folder / "folds.json").read_text()) == summary
    assert main([*words, "--trainer.max_epochs=3"]) == 2
    assert "is of other settings; take another --run.folder" in capsys.readouterr().err
    (tmp_path / "space.yaml").write_text("model.cel: [gru]\n")
    assert main([*words, f"--run.folder={tmp_path / 'typo'}"]) == 2
    assert "no setting --model.cel; did you mean model.cell" in capsys.readouterr().err
    (tmp_path / "space.yaml").write_text("model.cell: [gru, mingru]\n")
    assert main([*words, f"--run.folder={tmp_path / 'many'}", "--inner=99"]) == 1
    assert "groups cannot make 99 folds" in capsys.readouterr().err


@pytest.mark.slow
def test_heads_are_compared_over_all_splits(two_splits: list[str], tmp_path: Path) -> None:
    words = ["compare", *two_splits, "--heads=mingru,single_frame", "--splits=all"]
    assert main([*words, f"--run.folder={tmp_path / 'heads'}"]) == 0
    result = json.loads((tmp_path / "heads" / "compare.json").read_text())
    assert result["columns"] == ["split1", "split2"]
    for row in result["heads"]:
        accuracies = [
            json.loads((tmp_path / "heads" / row["head"] / split / "metrics.json").read_text())
            for split in result["columns"]
        ]
        mean = sum(each["accuracy"] for each in accuracies) / 2
        assert row["accuracy"] == pytest.approx(mean)
        assert row["accuracy_low"] is None  # of two groups
    assert result["heads"][1]["against_reference"] == "?"
