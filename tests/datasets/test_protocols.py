"""From a dataset's official files to its published protocol, as a user runs it."""

import functools
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official import ucf101 as ucf
from actionrnn.evaluation.predictions import Predictions

Fold = Callable[[str, Path], "Folded"]
QUICK = [
    *("--model.hidden_size=8", "--trainer.max_epochs=1", "--trainer.logger=false"),
    "--extraction.num_workers=1",
]


def parts(root: Path, column: str) -> dict[str, set[str]]:
    """Clips of each part of a prepared dataset."""
    manifest = Manifest.load(root)
    names = ("train", "val", "test")
    return {name: set(manifest.split(column, name).table["video_id"]) for name in names}


class Folded(NamedTuple):
    """A miniature dataset after `prepare` and `folds`."""

    root: Path
    runs: Path
    shown: str
    said: str


@pytest.fixture(scope="module")
def fold(tiny_features: list[str], tmp_path_factory: pytest.TempPathFactory) -> Fold:
    """Prepares and runs all splits of a dataset, once a module."""

    @functools.cache
    def fold(name: str, source: Path) -> Folded:
        top = tmp_path_factory.mktemp(name)
        root, runs, out, err = top / "root", top / "runs", io.StringIO(), io.StringIO()
        assert main(["prepare", name, "--source", str(source), "--root", str(root)]) == 0
        words = ["folds", f"--data.root={root}", *tiny_features, *QUICK, f"--run.root={runs}"]
        with redirect_stdout(out), redirect_stderr(err):
            assert main(words) == 0
        return Folded(root, next(runs.rglob("folds.json")).parent, out.getvalue(), err.getvalue())

    return fold


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
@pytest.mark.slow
def test_three_splits_give_a_mean_and_its_spread(
    name: str, request: pytest.FixtureRequest, fold: Fold
) -> None:
    done = fold(name, request.getfixturevalue(name))
    for word in ("split1", "split2", "split3", "mean", "sd", "macro accuracy"):
        assert word in done.shown
    assert done.said.count("to extract") == 1, "features are shared by the splits"
    written = json.loads((done.runs / "folds.json").read_text())
    accuracies = [figures["accuracy"] for figures in written["folds"].values()]
    assert written["mean"]["accuracy"] == pytest.approx(pd.Series(accuracies).mean())
    assert written["sd"]["accuracy"] == pytest.approx(pd.Series(accuracies).std())
    for column in ("split1", "split2", "split3"):
        scored = Predictions.load(done.runs / column)
        assert set(scored.table["video_id"]) == parts(done.root, column)["test"]


def kinetics_list(source: Path) -> set[str]:
    table = pd.read_csv(source / "annotations" / "val.csv")
    return {f"{r.youtube_id}_{r.time_start:06d}_{r.time_end:06d}" for r in table.itertuples()}


def ssv2_list(source: Path) -> set[str]:
    file = source / "something-something-v2-validation.json"
    return {entry["id"] for entry in json.loads(file.read_text())}


def jester_list(source: Path) -> set[str]:
    lines = (source / "jester-v1-validation.csv").read_text().splitlines()
    return {line.split(";")[0] for line in lines}


@pytest.mark.parametrize(
    ("verb", "name", "read"),
    [
        ("kinetics400", "kinetics", kinetics_list),
        ("ssv2", "ssv2", ssv2_list),
        ("jester", "jester", jester_list),
    ],
)
def test_the_validation_list_is_tested_and_val_is_carved_from_train(
    verb: str,
    name: str,
    read: Callable[[Path], set[str]],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    source = request.getfixturevalue(name)
    assert main(["prepare", verb, "--source", str(source), "--root", str(tmp_path)]) == 0
    found = parts(tmp_path, "split1")
    assert found["test"] == read(source)
    assert found["val"]
    assert found["train"]
    assert not found["val"] & found["test"]


@pytest.mark.slow
def test_kinetics_is_scored_on_its_validation_list(
    kinetics: Path, tiny_features: list[str], tmp_path: Path
) -> None:
    root, run = tmp_path / "root", tmp_path / "run"
    assert main(["prepare", "kinetics400", "--source", str(kinetics), "--root", str(root)]) == 0
    words = ["fit", f"--data.root={root}", *tiny_features, *QUICK, f"--run.folder={run}"]
    assert main(words) == 0
    assert main(["test", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]) == 0
    scored = Predictions.load(run)
    assert set(scored.table["video_id"]) == kinetics_list(kinetics)
    assert scored.table["error"].astype(bool).sum() == 1, "the corrupt one counts, as wrong"
    assert not scored.leaked


@pytest.mark.slow
def test_a_checkpoint_of_one_split_is_not_tested_on_what_it_was_trained_on(
    ucf101: Path, fold: Fold, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, run = fold("ucf101", ucf101), tmp_path / "run"
    shutil.copytree(done.runs / "split1", run)
    for written in ("metrics.json", "predictions.parquet"):
        (run / written).unlink()
    words = ["test", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    assert main([*words, "--data.split=split2"]) == 3
    message = capsys.readouterr().err
    seen = parts(done.root, "split1")["train"] & parts(done.root, "split2")["test"]
    assert "split2/test were trained on by this checkpoint" in message
    assert any(video_id in message for video_id in seen)
    assert not (run / "metrics.json").exists()
    assert main([*words, "--data.split=split2", "--allow-leak"]) == 0
    assert_marked_leaked(run, capsys.readouterr().out)


def assert_marked_leaked(folder: Path, shown: str) -> None:
    """What is printed, the run folder, the predictions and the report say so."""
    assert "LEAKED" in shown
    assert json.loads((folder / "metrics.json").read_text())["leaked"] is True
    assert Predictions.load(folder).leaked
    assert main(["report", str(folder)]) == 0
    assert "LEAKED: training and test share recordings" in (folder / "report.html").read_text()


def randomly_split(prepared: Path, root: Path) -> Manifest:
    """The miniature UCF101 with a split that ignores its recordings."""
    manifest = Manifest.load(prepared)
    table = manifest.table.sample(frac=1, random_state=0).sort_index()
    kinds = ["train", "test", "train", "val"]
    order = pd.Series(range(len(table))).sample(frac=1, random_state=0)
    table["split1"] = [kinds[k % 4] for k in order]
    table["path"] = [str(path.resolve()) for path in manifest.video_paths()]
    mixed = Manifest(root, table.drop(columns=["split2", "split3"]), manifest.class_names)
    mixed.save()
    return mixed


@pytest.mark.slow
def test_a_random_split_is_refused_and_marked_where_insisted_on(
    ucf101: Path,
    fold: Fold,
    tiny_features: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, run = fold("ucf101", ucf101).root, tmp_path / "run"
    mixed = randomly_split(root, tmp_path / "random")
    words = ["fit", f"--data.root={tmp_path / 'random'}", *tiny_features, *QUICK]
    words += [f"--run.folder={run}", f"--data.features_dir={root / 'features'}"]
    assert main(words) == 3
    message = capsys.readouterr().err
    assert "group 'ApplyEyeMakeup/g" in message
    assert any(video_id in message for video_id in mixed.table["video_id"])
    assert "--allow-leak" in message
    assert main([*words, "--allow-leak"]) == 0
    assert "warning: split1 of" in capsys.readouterr().err
    assert "allow_leak: true" in (run / "config.yaml").read_text()
    assert main(["test", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]) == 0
    assert_marked_leaked(run, capsys.readouterr().out)


def test_a_list_with_a_random_split_is_refused_and_nothing_is_written(
    ucf101: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ucf.prepare(ucf101, tmp_path / "ucf101")
    table = randomly_split(tmp_path / "ucf101", tmp_path / "random").table
    csv, out = tmp_path / "clips.csv", tmp_path / "out"
    table.rename(columns={"split1": "split"})[["path", "label", "split"]].to_csv(csv, index=False)
    words = ["prepare", "csv", "--source", str(csv), "--root", str(out), "--outside"]
    assert main([*words, "--group_regex", r"(v_\w+_g\d+)_"]) == 3
    message = capsys.readouterr().err
    assert "clips of one recording are in more than one of train, val and test" in message
    assert "v_ApplyEyeMakeup_g0" in message
    assert not (out / "manifest.csv").exists()
