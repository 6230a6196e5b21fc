"""extract, verify, folds, demo: the verbs around Lightning's."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionrnn.cli import VERBS, help_text, main
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.splits import fold_columns


def test_help_shows_every_verb_with_an_example_at_once() -> None:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "actionrnn", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch" not in done.stderr
    assert time.perf_counter() - started < 30
    for name in VERBS:
        assert f"actionrnn {name}" in done.stdout
    assert help_text() in done.stdout


def test_no_verb_or_an_unknown_one_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["trian"]) == 2
    assert "there is no verb 'trian'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([verb, "--help"])
    except SystemExit as stop:  # argparse ends the process itself
        code = int(stop.code or 0)
    assert code == 0
    assert len(capsys.readouterr().out) > 100


def test_extract_makes_the_features_that_fit_finds(
    tiny_data: Path,
    tiny_fit: list[str],
    tiny_features: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = [f"--data.root={tiny_data}", f"--data.features_dir={tmp_path / 'f'}"]
    short = ["--backbone", "squeezenet1_1", "--weights", "random", *tiny_features[2:]]
    assert main(["extract", *place, *short]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("60 clips")
    assert main([*tiny_fit, *place[1:], f"--run.folder={tmp_path / 'run'}"]) == 0
    assert "to extract" not in capsys.readouterr().err


def test_extract_names_near_misses(capsys: pytest.CaptureFixture[str], tiny_data: Path) -> None:
    words = ["extract", f"--data.root={tiny_data}", "--weights", "random"]
    assert main([*words, "--backbone", "resnet81"]) == 1
    assert "did you mean resnet18" in capsys.readouterr().err
    assert main([*words, "--features.transform.sise", "3"]) == 2
    assert "did you mean features.transform.size" in capsys.readouterr().err


def test_verify_says_what_is_broken(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in list(tiny_data.rglob("*.mp4"))[:3]:
        shutil.copy(path, tmp_path)
    assert main(["verify", str(tmp_path)]) == 0
    assert "3 files: 3 ok" in capsys.readouterr().err
    (tmp_path / "empty.mp4").touch()
    assert main(["verify", str(tmp_path), "--json"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 4
    assert [line["status"] for line in lines if "empty" in line["path"]] == ["unreadable"]
    (tmp_path / "none").mkdir()
    assert main(["verify", str(tmp_path / "none")]) == 3
    assert main(["verify", str(tmp_path / "gone.mp4")]) == 3


def test_verify_reads_a_manifest(tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_data / "manifest.csv"), "--quick"]) == 0
    assert "60 files: 60 ok" in capsys.readouterr().err


def test_folds_gives_mean_and_spread(
    tiny_data: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Manifest.load(tiny_data).table
    columns = fold_columns(table["label"].tolist(), table["group"].tolist(), 3, 0.34)
    root = tmp_path / "folds"
    manifest = Manifest(
        root, table.assign(**columns, path=[f"{tiny_data}/{path}" for path in table["path"]]),
        Manifest.load(tiny_data).class_names,
    )  # fmt: skip
    manifest.save()
    words = [word for word in tiny_fit[1:] if not word.startswith("--data.root")]
    assert main(["folds", *words, f"--data.root={root}", f"--run.root={tmp_path / 'runs'}"]) == 0
    out = capsys.readouterr().out
    assert "split3" in out
    assert "mean" in out
    written = json.loads(next((tmp_path / "runs").rglob("folds.json")).read_text())
    accuracies = [fold["accuracy"] for fold in written["folds"].values()]
    assert written["mean"]["accuracy"] == pytest.approx(sum(accuracies) / 3)
    low, high = written["intervals"]["auc"]
    assert low - 1e-6 <= written["mean"]["auc"] <= high + 1e-6
    assert main(["folds", "--model.cell", "gru"]) == 2
    assert "which dataset?" in capsys.readouterr().err


def test_verify_finds_duplicates_across_a_split(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Manifest.load(tiny_data).table.iloc[:12].reset_index(drop=True)
    for number, path in enumerate(table["path"]):
        source = table["path"][0] if number == 5 else path
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_data / source, tmp_path / path)
    split = ["train", "val", "test"] * 4
    copied = table.assign(group="", split1=split)
    Manifest(tmp_path, copied, Manifest.load(tiny_data).class_names).save()
    assert main(["verify", "--duplicates", str(tmp_path)]) == 3
    first, copy = table["video_id"][0], table["video_id"][5]
    line = next(line for line in capsys.readouterr().out.splitlines() if "identical" in line)
    assert first in line
    assert copy in line
    assert "in different parts of split1 (train, test)" in line


def test_the_same_file_in_train_and_test_is_refused(
    tiny_data: Path, tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Manifest.load(tiny_data)
    table = manifest.table.drop(columns="content")  # as in a list made by hand
    table["path"] = [str(path) for path in manifest.video_paths()]
    train = table.index[table["split1"] == "train"][0]
    test = table.index[table["split1"] == "test"][0]
    twin = tmp_path / "twin.mp4"
    shutil.copy(table["path"][train], twin)
    table.loc[test, "path"] = str(twin)
    Manifest(tmp_path, table, manifest.class_names).save()
    words = [word for word in tiny_fit if not word.startswith("--data.root")]
    words += [f"--data.root={tmp_path}", f"--run.folder={tmp_path / 'run'}"]
    assert main(words) == 3
    assert table["video_id"][test] in capsys.readouterr().err
    assert main([*words, "--allow-leak"]) == 0
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["leaked"]


def test_prepare_without_a_source_says_where_to_get_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "ucf101", "--root", str(tmp_path)]) == 0
    assert "http" in capsys.readouterr().out
    assert main(["prepare", "ssv2", "--root", str(tmp_path), "--check-files"]) == 0
