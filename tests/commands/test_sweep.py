"""`actionrnn sweep`: what it searches, what it keeps, and that test clips stay unseen."""

import json
import math
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from actionrnn.cli import main
from actionrnn.commands import sweep
from actionrnn.commands.search_space import DEFAULT, Choice, Range, parse_space, read_space
from actionrnn.errors import ActionRNNError
from actionrnn.features.store import FeatureStore

CONFIGS = Path(__file__).parents[2] / "configs"
SPACE = """
model.cell: [gru, mingru]
model.learning_rate: {low: 1e-3, high: 1.0e-2, log: true}
model.hidden_size: {low: 4, high: 12}
"""


@pytest.fixture
def words(tiny_fit: list[str], tiny_run: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "space.yaml").write_text(SPACE)
    wanted = [word for word in tiny_fit[1:] if "max_epochs" not in word]
    return [*wanted, "--trainer.max_epochs=2", f"--space={tmp_path / 'space.yaml'}"]


def test_a_sweep_writes_what_fit_takes_and_never_reads_a_test_clip(
    words: list[str],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: set[str] = set()
    plain = FeatureStore.positions

    def noted(self: FeatureStore, video_ids: list[str]) -> object:
        seen.update(video_ids)
        return plain(self, video_ids)

    monkeypatch.setattr(FeatureStore, "positions", noted)
    folder = tmp_path / "sweep"
    assert main(["sweep", *words, "--trials=3", f"--run.folder={folder}"]) == 0
    manifest = pd.read_csv(tiny_data / "manifest.csv", dtype=str).set_index("video_id")
    assert set(manifest.loc[sorted(seen), "split1"]) == {"train", "val"}

    printed = capsys.readouterr()
    assert "best of 3 trials" in printed.out
    assert f"next: actionrnn fit --config {folder / 'best.yaml'}" in printed.err
    table = pd.read_csv(folder / "trials.csv")
    assert table["macro_accuracy"].is_monotonic_decreasing
    assert set(table["model.cell"]) <= {"gru", "mingru"}
    assert table["model.hidden_size"].between(4, 12).all()
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best["model"]["cell"] == table["model.cell"][0]
    assert best["model"]["learning_rate"] == pytest.approx(table["model.learning_rate"][0])

    again = tmp_path / "again"
    assert main(["fit", "--config", str(folder / "best.yaml"), f"--run.folder={again}"]) == 0
    figures = json.loads((again / "fit.json").read_text())
    assert figures["validation"]["macro_accuracy"] == table["macro_accuracy"][0]


def test_a_sweep_goes_on_where_it_stopped(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    assert main(["sweep", *words, "--trials=1", f"--run.folder={folder}"]) == 0
    (tmp_path / "space.yaml").unlink()  # the sweep has kept its own copy
    assert main(["sweep", "--resume", str(folder), "--trials=2"]) == 0
    assert len(pd.read_csv(folder / "trials.csv")) == 2
    assert main(["sweep", "--resume", str(folder), "--trials=2"]) == 0
    assert len(pd.read_csv(folder / "trials.csv")) == 2
    capsys.readouterr()
    assert main(["sweep", "--resume", str(folder), "--model.cell=gru"]) == 2
    assert "leave out --model.cell=gru" in capsys.readouterr().err


def test_a_trial_that_was_broken_off_is_run_once_more(words: list[str], tmp_path: Path) -> None:
    import optuna

    folder = tmp_path / "sweep"
    assert main(["sweep", *words, "--trials=1", f"--run.folder={folder}"]) == 0
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'study.db'}")
    study.ask().suggest_categorical("model.cell", ["gru", "mingru"])  # and then the power failed
    chosen = study.trials[1].params["model.cell"]
    assert main(["sweep", "--resume", str(folder), "--trials=2"]) == 0
    table = pd.read_csv(folder / "trials.csv").set_index("trial")
    assert table.loc[[0, 1, 2], "state"].tolist() == ["complete", "fail", "complete"]
    assert table.loc[2, "model.cell"] == chosen


def test_a_small_space_is_gone_through_once(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("model.cell: [gru, mingru]\nmodel.hidden_size: [4, 8]\n")
    folder = tmp_path / "sweep"
    small = [f"--space={tmp_path / 'small.yaml'}", f"--run.folder={folder}"]
    assert main(["sweep", *words, *small, "--trials=9"]) == 0
    table = pd.read_csv(folder / "trials.csv")
    pairs = set(zip(table["model.cell"], table["model.hidden_size"], strict=True))
    assert pairs == {("gru", 4), ("gru", 8), ("mingru", 4), ("mingru", 8)}
    assert len(table) == 4
    assert main(["sweep", "--resume", str(folder)]) == 0
    assert len(pd.read_csv(folder / "trials.csv")) == 4


def test_a_small_space_is_gone_through_after_a_search_of_a_part_of_it(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text("model.cell: [gru, mingru]\nmodel.hidden_size: [4, 8]\n")
    folder = tmp_path / "sweep"
    small = [f"--space={tmp_path / 'small.yaml'}", f"--run.folder={folder}"]
    assert main(["sweep", *words, *small, "--trials=3"]) == 0
    assert main(["sweep", "--resume", str(folder), "--trials=4"]) == 0
    table = pd.read_csv(folder / "trials.csv")
    assert len(table[["model.cell", "model.hidden_size"]].drop_duplicates()) == 4
    assert set(table["state"]) == {"complete"}


def test_settings_that_were_tried_are_not_trained_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two.yaml").write_text("model.cell: [gru, mingru]\n")
    monkeypatch.setattr(sweep, "num_combinations", lambda space: math.inf)
    folder = tmp_path / "sweep"
    two = [f"--space={tmp_path / 'two.yaml'}", f"--run.folder={folder}", "--trials=4"]
    assert main(["sweep", *words, *two]) == 0
    table = pd.read_csv(folder / "trials.csv")
    assert len(table) == 4
    assert len(list(folder.glob("trials/*"))) == table["model.cell"].nunique() <= 2
    assert (table.groupby("model.cell")["auc"].nunique() == 1).all()
    assert yaml.safe_load((folder / "best.yaml").read_text())["model"]["cell"] in ("gru", "mingru")


def test_same_seed_same_trials(words: list[str], tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        assert main(["sweep", *words, "--trials=2", f"--run.folder={tmp_path / name}"]) == 0
        table = pd.read_csv(tmp_path / name / "trials.csv")
        tables.append(table.drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.slow
def test_all_splits_are_averaged_and_hopeless_trials_pruned(
    words: list[str], tiny_data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    other.mkdir()
    table = pd.read_csv(tiny_data / "manifest.csv", dtype=str, keep_default_na=False)
    table["split2"] = table["split1"].replace({"train": "val", "val": "train"})
    table["path"] = str(tiny_data) + "/" + table["path"]
    table.to_csv(other / "manifest.csv", index=False)
    (other / "classes.txt").write_text((tiny_data / "classes.txt").read_text())
    folder = tmp_path / "sweep"
    more = [f"--data.root={other}", f"--data.features_dir={tiny_data / 'features'}"]
    more += ["--splits=all", "--prune", "--trials=8", f"--run.folder={folder}"]
    assert main(["sweep", *words, *more]) == 0
    table = pd.read_csv(folder / "trials.csv")
    assert set(table["state"]) <= {"complete", "pruned"}
    number = table["trial"][0]
    scores = [
        json.loads((folder / "trials" / f"{number:04d}" / split / "fit.json").read_text())
        for split in ("split1", "split2")
    ]
    mean = sum(each["validation"]["macro_accuracy"] for each in scores) / 2
    assert table["macro_accuracy"][0] == pytest.approx(mean)


def test_a_trial_whose_loss_is_no_number_is_counted_and_the_rest_go_on(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wild.yaml").write_text("model.learning_rate: [1.0e+30, 1.0e+31]\n")
    wild = [f"--space={tmp_path / 'wild.yaml'}", "--model.cell=mingru", "--trials=2"]
    assert main(["sweep", *words, *wild, f"--run.folder={tmp_path / 'sweep'}"]) == 1
    assert "search lower learning rates" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "sweep" / "trials.csv")
    assert table["state"].tolist() == ["fail", "fail"]


def test_without_optuna_it_says_what_to_install(
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "--data.root=nowhere"]) == 1
    assert "pip install 'actionrnn[sweep]'" in capsys.readouterr().err
    space = ["--space", str(CONFIGS / "sweep" / "fights.yaml")]
    assert main(["folds", f"--data.root={tiny_data}", *space, f"--run.folder={tmp_path}"]) == 1
    assert "pip install 'actionrnn[sweep]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_mistakes_are_named_before_anything_is_trained(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, message in (
        (["--splits=splt1"], "did you mean split1"),
        (["--seeds=3"], "use --seeds with fit or folds"),
        ([f"--run.folder={tmp_path}", "--model.cel=gru"], "did you mean model.cell"),
    ):
        assert main(["sweep", *words, *more]) == 2
        assert message in capsys.readouterr().err
    assert main(["sweep"]) == 2
    assert "which dataset?" in capsys.readouterr().err


def test_a_space_is_choices_and_ranges(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    assert parse_space(read_space(str(tmp_path / "space.yaml"))) == {
        "model.cell": Choice(("gru", "mingru")),
        "model.learning_rate": Range(1e-3, 1e-2, log=True),
        "model.hidden_size": Range(4, 12),
    }
    assert set(parse_space(read_space(None))) == set(DEFAULT)


@pytest.mark.parametrize(
    "entry",
    ["gru", "[]", "{low: 1}", "{low: 2, high: 1}", "{low: 0, high: 1, log: true}", "[[gru]]"],
)
def test_a_wrong_space_is_explained(tmp_path: Path, entry: str) -> None:
    (tmp_path / "space.yaml").write_text(f"model.cell: {entry}\n")
    with pytest.raises(ActionRNNError, match=r"space, model\.cell: .* neither choices"):
        parse_space(read_space(str(tmp_path / "space.yaml")))
