"""A checkpoint keeps its word: damage is said, code is not run, foreign paths are hints."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

import actionrnn
from actionrnn.cli import main
from actionrnn.errors import ActionRNNError
from actionrnn.training.checkpoint import SealedCheckpointIO, opened, read_checkpoint, sealed
from actionrnn.training.named_code import named_in

LIGHTNING = "pytorch_lightning.callbacks."


def best(run: Path) -> Path:
    return run / "checkpoints" / "best.ckpt"


def test_a_sealed_checkpoint_is_a_plain_one_to_other_programs(tiny_run: Path) -> None:
    plain = torch.load(best(tiny_run), weights_only=True)
    ours = read_checkpoint(best(tiny_run))
    assert plain.keys() == ours.keys()
    assert all(torch.equal(v, ours["state_dict"][k]) for k, v in plain["state_dict"].items())


def test_a_flipped_bit_anywhere_is_said(tiny_run: Path, tmp_path: Path) -> None:
    content = best(tiny_run).read_bytes()
    places = random.Random(0).sample(range(len(content)), 200)
    for place in [0, 1, 30, *places, *range(len(content) - 100, len(content))]:
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        (tmp_path / "x.ckpt").write_bytes(changed)
        with pytest.raises(ActionRNNError, match=r"x\.ckpt is damaged|x\.ckpt is not a checkpoint"):
            opened(tmp_path / "x.ckpt")


def test_a_cut_or_an_empty_file_is_said(tiny_run: Path, tmp_path: Path) -> None:
    content = best(tiny_run).read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 81, len(content) - 1):
        (tmp_path / "x.ckpt").write_bytes(content[:length])
        with pytest.raises(ActionRNNError, match=r"x\.ckpt is (damaged|not a checkpoint)"):
            opened(tmp_path / "x.ckpt")


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict", "load"])
def test_every_way_in_says_of_damage(
    verb: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(best(tiny_run).read_bytes())
    content[len(content) // 2] ^= 4
    path = tmp_path / "best.ckpt"
    path.write_bytes(content)
    if verb == "load":
        with pytest.raises(ActionRNNError, match="damaged: its content is not what its SHA-256"):
            actionrnn.load(str(path))
    else:
        assert main([verb, "--ckpt_path", str(path)]) == 1
        assert "damaged: its content is not what its SHA-256 says" in capsys.readouterr().err


def test_what_nobody_could_load_safely_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ActionRNNError, match="more than plain data"):
        SealedCheckpointIO().save_checkpoint({"a": Path("x")}, tmp_path / "x.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_file_of_pickled_code_is_not_run_and_no_advice_is_given(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "run",))

    torch.save({"a": Evil()}, tmp_path / "x.ckpt")
    with pytest.raises(ActionRNNError) as caught:
        opened(tmp_path / "x.ckpt")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def crafted(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, Any]]:
    """A folder with importable code that leaves a trace, and a checkpoint to craft."""
    (tmp_path / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        "from pytorch_lightning.callbacks import Callback\n"
        "class Bad(Callback):\n    pass\n"
        "def net():\n    import torch\n    return torch.nn.Flatten()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path, read_checkpoint(best(tiny_run))


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict", "videos", "load"])
def test_a_checkpoint_never_names_the_backbone_to_import(
    verb: str,
    crafted: tuple[Path, dict[str, Any]],
    tiny_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, checkpoint = crafted
    saved = checkpoint["actionrnn"]
    saved["feature_spec"]["settings"]["backbone"]["name"] = "evil:net"
    saved["recipe"]["features"]["backbone"]["name"] = "evil:net"
    path = folder / "x.ckpt"
    path.write_bytes(sealed(checkpoint))
    video = str(next(tiny_data.rglob("*.mp4")))
    if verb == "load":
        with pytest.raises(ActionRNNError, match="backbone='evil:net'"):
            actionrnn.load(str(path))
        actionrnn.load(str(path), backbone="evil:net")
    else:
        words = ["predict", "--videos", video] if verb == "videos" else [verb]
        assert main([*words, "--ckpt_path", str(path)]) in (1, 2)
        assert "evil:net" in capsys.readouterr().err
        assert main([*words, "--ckpt_path", str(path), "--features.backbone.name=other:net"]) != 0
    assert not (folder / "ran").exists()


def test_a_checkpoint_never_names_a_callback_to_import(
    crafted: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, checkpoint = crafted
    checkpoint["actionrnn"]["recipe"]["trainer"]["callbacks"] = [{"class_path": "evil.Bad"}]
    (folder / "x.ckpt").write_bytes(sealed(checkpoint))
    assert main(["fit", "--ckpt_path", str(folder / "x.ckpt"), "--trainer.max_epochs=4"]) == 2
    assert "evil.Bad" in capsys.readouterr().err
    assert not (folder / "ran").exists()


def test_code_and_places_are_found_wherever_they_stand() -> None:
    callbacks = [
        {"class_path": "mine.Callback", "init_args": {"a": {"class_path": "mine.Inner"}}},
        {
            "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
            "init_args": {"dirpath": "/x"},
        },
        {
            "class_path": "pytorch_lightning.callbacks.LambdaCallback",
            "init_args": {"setup": "os.x"},
        },
    ]
    recipe = {"trainer": {"callbacks": callbacks, "max_epochs": 3}, "features": {}}
    assert named_in(recipe) == {"mine.Callback", "dirpath /x", "setup os.x"} | {"mine.Inner"}
    assert named_in({"features": {"backbone": {"name": "timm:resnet18"}}}) == set()
