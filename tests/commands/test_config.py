"""Several config files and flags become one config, whatever their order."""

import subprocess
import sys
from pathlib import Path

import pytest

from actionrnn.commands.config import compose, merged, split_arguments
from actionrnn.errors import ActionRNNError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "data" / "a.yaml").write_text("root: a\nsplit: split2\nsampler: balanced\n")
    (tmp_path / "data" / "b.yaml").write_text("root: b\n")
    (tmp_path / "experiment" / "x.yaml").write_text(
        "data: ../data/a.yaml\nmodel:\n  cell: lstm\n  hidden_size: 32\n"
    )
    (tmp_path / "experiment" / "y.yaml").write_text("model:\n  cell: gru\n")
    return tmp_path


def test_a_group_named_in_a_config_is_read_relative_to_it(folder: Path) -> None:
    config, rest = compose(["--config", str(folder / "experiment/x.yaml"), "--model.cell", "rnn"])
    assert config["data"] == {"root": "a", "split": "split2", "sampler": "balanced"}
    assert rest == ["--model.cell", "rnn"]


@pytest.mark.parametrize("data_first", [True, False])
def test_another_dataset_leaves_nothing_of_the_old_one(folder: Path, data_first: bool) -> None:
    words = ["--config", str(folder / "experiment/x.yaml")]
    data = ["--data", str(folder / "data/b.yaml")]
    config, _ = compose(data + words if data_first else words + data)
    assert config["data"] == {"root": "b"}
    assert config["model"] == {"cell": "lstm", "hidden_size": 32}


def test_a_later_config_changes_only_what_it_names(folder: Path) -> None:
    words = [f"--config={folder}/experiment/x.yaml", "-c", f"{folder}/experiment/y.yaml"]
    config, _ = compose(words)
    assert config["model"] == {"cell": "gru", "hidden_size": 32}


def test_a_later_config_that_names_a_dataset_leaves_nothing_of_the_first(folder: Path) -> None:
    (folder / "experiment" / "z.yaml").write_text("data: ../data/b.yaml\n")
    words = ["-c", f"{folder}/experiment/x.yaml", "-c", f"{folder}/experiment/z.yaml"]
    assert compose(words)[0]["data"] == {"root": "b"}


def test_a_config_builds_on_its_base(folder: Path) -> None:
    (folder / "experiment" / "z.yaml").write_text("base: x.yaml\nmodel:\n  cell: gru\n")
    config, _ = compose(["-c", f"{folder}/experiment/z.yaml"])
    assert config["model"] == {"cell": "gru", "hidden_size": 32}
    assert config["data"]["root"] == "a"
    (folder / "experiment" / "other.yaml").write_text("base: z.yaml\ndata: ../data/b.yaml\n")
    assert compose(["-c", f"{folder}/experiment/other.yaml"])[0]["data"] == {"root": "b"}
    (folder / "experiment" / "x.yaml").write_text("base: other.yaml\n")
    with pytest.raises(ActionRNNError, match="builds on itself"):
        compose(["-c", f"{folder}/experiment/z.yaml"])


def test_single_settings_stay_after_the_files_wherever_they_stand(folder: Path) -> None:
    words = ["--model.cell", "rnn", "--config", str(folder / "experiment/x.yaml"), "--a=b"]
    assert compose(words)[1] == ["--model.cell", "rnn", "--a=b"]


def test_the_base_lies_under_everything(folder: Path) -> None:
    base = {"data": {"root": "old", "split": "split9"}, "model": {"cell": "rnn", "dropout": 0.5}}
    config, _ = compose(["-c", str(folder / "experiment/y.yaml")], base)
    assert config == {**base, "model": {"cell": "gru", "dropout": 0.5}}


def test_merged_leaves_its_arguments_alone() -> None:
    base = {"a": {"b": 1}}
    assert merged(base, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert base == {"a": {"b": 1}}


def test_a_missing_config_names_the_one_that_was_meant(folder: Path) -> None:
    with pytest.raises(ActionRNNError, match=r"zx\.yaml does not exist; did you mean .*x\.yaml"):
        compose(["--config", str(folder / "experiment/zx.yaml")])


def test_broken_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ActionRNNError, match=r"bad\.yaml is not valid YAML"):
        compose(["--config", str(tmp_path / "bad.yaml")])
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ActionRNNError, match="not a list"):
        compose(["--config", str(tmp_path / "list.yaml")])


def test_a_file_option_without_a_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--data needs a YAML file"):
        split_arguments(["--data", "--model.cell", "gru"])


def test_one_batch_is_not_all_batches_whatever_was_imported_first() -> None:
    """In a process where "float or int" was said first, typing makes it that everywhere."""
    code = (
        "from typing import Optional, Union; Optional[Union[float, int]]\n"
        "from actionrnn.training.settings import LIMITS, parsed\n"
        "for name in LIMITS:\n"
        "    for value in ('1', '1.0'):\n"
        "        print(parsed({}, [f'--trainer.{name}={value}']).trainer[name])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "1.0"] * 4
