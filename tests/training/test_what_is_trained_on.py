"""What a split must hold to be trained on, and how validation clips are carved from it."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import DataRejected
from actionrnn.training.data import ActionDataModule


def prepared(root: Path, parts: dict[str, str], **columns: Any) -> Path:
    """Clips of ids such as `a1-3`: class a, recording 1; and the part of each recording."""
    names = [f"{label}{group}-{k}" for label in "abc" for group in range(6) for k in range(3)]
    table = pd.DataFrame({"video_id": names, "path": [f"{name}.mp4" for name in names]})
    table["label"], table["group"] = table["video_id"].str[0], table["video_id"].str[:2]
    table["split1"] = [parts.get(name[:2], parts.get(name[0], "train")) for name in names]
    table["content"] = ""
    Manifest(root, table.assign(**columns), ["a", "b", "c"]).save()
    return root


LEAVE_ONE_OUT = {"a0": "test", "b0": "test", "c0": "test"}


def test_validation_clips_are_carved_by_whole_groups(tmp_path: Path) -> None:
    root = str(prepared(tmp_path, LEAVE_ONE_OUT))
    data = ActionDataModule(root, val_from_train=0.2)
    before, after = Manifest.load(root).table["split1"], data.manifest.table["split1"]
    assert (before[before == "test"].index == after[after == "test"].index).all()
    assert set(data.part("val").table["label"]) == {"a", "b", "c"}
    assert not data.manifest.check_split("split1")
    assert len(data.part("val").table) == pytest.approx(0.2 * 45, abs=2)
    assert (Manifest.load(root).table["split1"] != "val").all(), "nothing is written"
    again = ActionDataModule(**{**data.options(), "features_dir": None})
    assert again.identity()["split_hash"] == data.identity()["split_hash"]


def test_equal_files_are_carved_together(tmp_path: Path) -> None:
    content = ["same" if k % 3 == 0 else "" for k in range(54)]  # of every recording
    root = str(prepared(tmp_path, {}, content=content))
    with pytest.raises(DataRejected, match=r"val_from_train 0\.2 can carve nothing .* one group"):
        _ = ActionDataModule(root, val_from_train=0.2).manifest


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"--data\.val_from_train .*: must be in 0 to 1"):
        ActionDataModule(val_from_train=share)


def test_a_split_that_has_validation_clips_keeps_them(tmp_path: Path) -> None:
    root = str(prepared(tmp_path, {**LEAVE_ONE_OUT, "a1": "val"}))
    with pytest.raises(DataRejected, match="has 3 validation clips already; leave out"):
        _ = ActionDataModule(root, val_from_train=0.2).manifest


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            LEAVE_ONE_OUT,
            r"no clip is 'val' .* carve some from train with --data.val_from_train 0.2",
        ),
        (dict.fromkeys("abc", "val"), "no clip is 'train'"),
        ({"a5": "val", "b": "val", "c": "test"}, "all 15 training clips .* of one class, 'a'"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_before_anything_is_extracted(
    parts: dict[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = prepared(tmp_path / "root", parts), tmp_path / "run"
    assert main(["fit", f"--data.root={root}", f"--run.folder={run}"]) == 3
    assert re.search(message, capsys.readouterr().err)
    assert not (root / "features").exists()


def test_a_class_that_is_not_trained_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ActionDataModule(str(prepared(tmp_path, {"c": "test", "a0": "val", "b0": "val"})))
    data.check_fit()
    said = capsys.readouterr().err
    assert "1 of 3 classes have no training clip in split1" in said
    assert said.endswith("scored right: c\n")
