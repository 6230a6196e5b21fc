"""`verify` of a manifest: its splits are checked, not its files alone."""

import json
from pathlib import Path

import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest


def manifest_of_arrays(root: Path, groups: list[str], splits: dict[str, list[str]]) -> Path:
    """Clips that nothing has to be decoded of."""
    names = [f"c{row}" for row in range(len(groups))]
    for row, name in enumerate(names):
        root.mkdir(exist_ok=True)
        (root / f"{name}.npy").write_bytes(bytes([row]) * 9)
    table = pd.DataFrame({"video_id": names, "path": [f"{name}.npy" for name in names]})
    table = table.assign(label=["a", "b"] * (len(groups) // 2), group=groups, **splits)
    Manifest(root, table, ["a", "b"]).save()
    return root


def test_a_leak_is_named_and_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean, leaking = ["train", "train", "test", "test"], ["train", "test", "train", "test"]
    root = manifest_of_arrays(
        tmp_path / "data", ["g1", "g1", "g2", "g2"], {"split1": clean, "split2": leaking}
    )
    assert main(["verify", str(root)]) == 3
    said = capsys.readouterr()
    assert "split1: no leaks" in said.err
    assert "split2: 2 leaks between train, val and test" in said.err
    assert said.out.splitlines() == [
        "leak  split2: group 'g1' is in train: c0; test: c1",
        "leak  split2: group 'g2' is in train: c2; test: c3",
    ]
    assert main(["verify", str(root / "manifest.csv"), "--json"]) == 3
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    clips = {"train": ["c0"], "test": ["c1"]}
    assert first == {"split": "split2", "kind": "group", "key": "g1", "clips": clips}


def test_equal_files_are_leaks_though_nobody_has_compared_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = {"split1": ["train", "train", "test", "test"]}
    root = manifest_of_arrays(tmp_path / "data", ["", "", "", ""], split)
    assert "content" not in Manifest.load(root).table.columns
    assert main(["verify", str(root)]) == 0
    (root / "c3.npy").write_bytes((root / "c0.npy").read_bytes())
    assert main(["verify", str(root)]) == 3
    assert "is in train: c0; test: c3" in capsys.readouterr().out
