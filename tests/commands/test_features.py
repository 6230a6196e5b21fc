"""features info, verify, prune, import, export through the command line."""

from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.features.admin import store_folders
from actionrnn.features.store import FeatureStore


@pytest.fixture
def exported(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> Path:
    store = next(f for f in store_folders(tiny_data / "features") if FeatureStore.open(f).video_ids)
    assert main(["features", "export", str(store), "--target", str(tmp_path / "npy")]) == 0
    return tmp_path / "npy"


def test_info_and_verify(
    tiny_run: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["features", "info", str(tiny_data / "features")]) == 0
    assert "squeezenet1_1" in capsys.readouterr().out
    assert main(["features", "verify", str(tiny_data / "features")]) == 0
    assert "0 damaged" in capsys.readouterr().err


def test_features_made_elsewhere_train_like_ones_own(
    exported: Path,
    tiny_data: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["features", "import", str(exported), "--root", str(tiny_data), "--name", "mine"]
    assert main([*words, "--features_dir", str(tmp_path / "f")]) == 0
    assert "60 clips imported, 0 had no file" in capsys.readouterr().out
    kept = [word for word in tiny_fit if not word.startswith("--features.")]
    assert main([
        *kept, "--features.backbone.name=import:mine", f"--data.features_dir={tmp_path / 'f'}",
        f"--run.folder={tmp_path / 'run'}",
    ]) == 0  # fmt: skip


def test_a_damaged_shard_is_set_aside_and_pruned(
    exported: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["features", "import", str(exported), "--root", str(tiny_data), "--name", "mine"]
    assert main([*words, "--features_dir", str(tmp_path / "f")]) == 0
    shard = next((tmp_path / "f").rglob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-2] ^= 1
    shard.write_bytes(content)
    assert main(["features", "verify", str(tmp_path / "f")]) == 3
    assert shard.name in capsys.readouterr().out
    assert main(["features", "verify", str(tmp_path / "f"), "--repair"]) == 0
    assert main(["features", "prune", str(tmp_path / "f")]) == 0
    assert not list((tmp_path / "f").rglob("*.damaged"))


def test_wrong_words_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "verifi", "x"]) == 2
    assert "did you mean verify" in capsys.readouterr().err
    assert main(["features", "info", str(tmp_path)]) == 1
    assert "is no feature store and holds none" in capsys.readouterr().err
