"""The likeliest mistakes, each with its sentence: what, where, and what to do instead."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from actionrnn.cli import main
from actionrnn.errors import of_the_system
from actionrnn.files import check_writable
from actionrnn.models.config import HEADS, HeadConfig

Complaint = Callable[[list[str], int], str]


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Complaint:
    """What a command says on stderr before it ends with this exit code."""

    def run(words: list[str], code: int) -> str:
        assert main(words) == code
        return capsys.readouterr().err

    return run


def test_videos_beside_class_folders(complaint: Complaint, tiny_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    (source / "a.mp4").write_bytes(next(tiny_data.rglob("*.mp4")).read_bytes())
    said = complaint(["prepare", "folder", "--source", str(source), "--root", "out"], 1)
    assert "holds 1 videos, and no folder of a class around them (a.mp4)" in said
    assert "my_videos/jump/a.mp4" in said


def test_pictures_instead_of_videos(complaint: Complaint, tmp_path: Path) -> None:
    for label in ("jump", "run"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (8, 8)).save(tmp_path / "mine" / label / name)
    said = complaint(["prepare", "folder", "--source", str(tmp_path / "mine"), "--root", "out"], 1)
    assert "folders of pictures, each taken for one clip" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.head", "mean_pool", "--model.cell", "gru"], "--model.cell gru: a mean_pool"),
        (["--model.head=single_frame", "--model.hidden_size=8"], "--model.hidden_size 8: a single"),
        (["--model.head", "conv_gru", "--model.cell", "rnn"], "--model.cell rnn: a conv_gru head"),
    ],
)
def test_a_setting_that_the_head_ignores(words: list[str], said: str, complaint: Complaint) -> None:
    found = complaint(["fit", "--config", "demo_lstm", *words], 2)
    assert said in found
    assert "another --model.head" in found


def test_what_a_head_ignores_changes_nothing() -> None:
    from actionrnn.models.heads import build_head

    other = {"cell": "rnn", "num_layers": 2, "bidirectional": True, "hidden_size": 8}
    other |= {"inputs": "features,delta", "pooling": "max"}
    for choice in HEADS.values():
        config = HeadConfig(**{"hidden_size": 16, **choice.settings})  # type: ignore[arg-type]
        ignored = {key: value for key, value in other.items() if key in config.unused}
        changed = HeadConfig(**{**config.to_dict(), **ignored})
        shapes = [
            [(name, tuple(each.shape)) for name, each in build_head(c, 4, 3, 4).named_parameters()]
            for c in (config, changed)
        ]
        assert shapes[0] == shapes[1], choice


def test_a_dataset_that_is_not_prepared(complaint: Complaint, tmp_path: Path) -> None:
    root = str(tmp_path / "ucf101")
    said = complaint(["fit", "--config", "ucf101", "--data.root", root], 1)
    assert f"actionrnn prepare ucf101 --root {root}" in said
    said = complaint(["fit", "--config", "own", "--data.root", str(tmp_path / "my own")], 1)
    assert f"actionrnn prepare folder --source VIDEOS --root '{tmp_path}/my own'" in said


def test_no_write_permission(
    complaint: Complaint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/opt/runs")
    assert of_the_system(refused).startswith("/opt/runs: Permission denied; name a place that you")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError):
        check_writable(tmp_path / "new" / "folder")
    said = complaint(["prepare", "synthetic", "--root", str(tmp_path / "data")], 1)
    assert f"{tmp_path}: Permission denied; name a place" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(complaint: Complaint, tiny_data: Path, tiny_run: Path) -> None:
    video = str(next(tiny_data.rglob("*.mp4")))
    for words in (
        ["explain", video, "--ckpt_path", str(tiny_run), "--device", "cuda"],
        ["fit", "--data.root", str(tiny_data), "--trainer.accelerator", "gpu"],
    ):
        assert "there is no GPU here that PyTorch" in complaint(words, 2)
