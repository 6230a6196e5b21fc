"""`actionrnn explain` and its Python function beyond the plain case: controls, views, messages."""

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.explain import explain_clip
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.report.sheet import sheet


@pytest.fixture
def predictor(tiny_run: Path) -> ActionPredictor:
    return ActionPredictor.load(tiny_run / "checkpoints" / "best.ckpt", device="cpu")


@pytest.fixture(scope="module")
def videos(tiny_data: Path) -> list[Path]:
    return Manifest.load(tiny_data).video_paths()


def with_head(predictor: ActionPredictor, config: HeadConfig) -> ActionPredictor:
    torch.manual_seed(0)
    dim = predictor.backbone.feature_dim
    predictor.recognizer.head = build_head(config, dim, len(predictor.class_names)).eval()
    return predictor


def test_videos_by_name_and_by_place_are_the_same(
    tiny_run: Path, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = str(tiny_run / "checkpoints" / "best.ckpt")
    words = ["explain", f"--ckpt_path={ckpt}", f"--output_dir={tmp_path}", "--film=false", "--json"]
    assert main([*words, str(videos[0]), "--videos", str(videos[0])]) == 0
    by_place, by_name = capsys.readouterr().out.splitlines()
    assert json.loads(by_place)["path"] == str(videos[0])
    assert by_name == by_place
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".png", ".png"]


def test_several_views_and_a_temperature_give_the_scores_of_predict(
    predictor: ActionPredictor, videos: list[Path]
) -> None:
    settings = predictor.spec.settings
    transform = dataclasses.replace(settings.transform, flip=True)
    settings = dataclasses.replace(settings, transform=transform)
    plain = explain_clip(predictor, videos[0])
    predictor.spec = dataclasses.replace(predictor.spec, settings=settings)
    predictor.recognizer.temperature = 3.0
    clip = explain_clip(predictor, videos[0])
    assert np.array_equal(clip.probs_K, predictor.probabilities(videos[0]).numpy())
    assert "explained is the first of 2 views; the probabilities are of all" in clip.notes
    cooled_TK = plain.evidence_TK.astype(float) ** (1 / 3)
    assert clip.evidence_TK == pytest.approx(
        cooled_TK / cooled_TK.sum(axis=1, keepdims=True), abs=1e-5
    )
    assert clip.frames_TCHW.shape == plain.frames_TCHW.shape


@pytest.mark.parametrize(
    ("config", "note"),
    [
        (HeadConfig(head="mean_pool"), "a mean_pool head has no gates"),
        (HeadConfig(head="single_frame"), "the middle one decides"),
        (HeadConfig(head="attentive_probe", hidden_size=8), "has no gates"),
        (HeadConfig(hidden_size=8, bidirectional=True), "the second direction has seen the whole"),
    ],
    ids=["mean_pool", "single_frame", "attentive_probe", "bidirectional"],
)
def test_every_head_is_explained_and_its_limits_are_said(
    predictor: ActionPredictor, videos: list[Path], config: HeadConfig, note: str
) -> None:
    clip = explain_clip(with_head(predictor, config), videos[0])
    assert note in " ".join(clip.notes)
    assert bool(clip.gates) == (config.head == "recurrent")
    assert note in str(sheet(clip).get_supxlabel())
    if config.head == "single_frame":  # it reads one frame, and that one alone is salient
        values_T = clip.saliencies["integrated gradients"].values_T
        assert list(np.flatnonzero(values_T)) == [len(values_T) // 2]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("gru", ["reset gate", "update gate", "new candidate"]),
        ("mingru", ["update gate", "new candidate"]),
        ("minlstm", ["input gate", "forget gate", "cell candidate"]),
        ("rnn", ["new candidate"]),
    ],
)
def test_the_gates_have_the_names_of_their_cell(
    predictor: ActionPredictor, videos: list[Path], cell: Any, names: list[str]
) -> None:
    config = HeadConfig(hidden_size=8, cell=cell)
    clip = explain_clip(with_head(predictor, config), videos[0])
    assert [re.sub(": .*", "", each.title) for each in clip.gates] == names
    for each in clip.gates:
        inside = (each.values_TH >= each.low) & (each.values_TH <= each.high)
        assert inside.all()
        if each.saturated_low is not None:
            margin = 0.1 * (each.high - each.low)
            assert each.saturated_low == pytest.approx((each.values_TH < each.low + margin).mean())


def test_without_captum_it_is_said_what_to_install(
    tiny_run: Path, videos: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    ckpt = str(tiny_run / "checkpoints" / "best.ckpt")
    words = ["explain", f"--ckpt_path={ckpt}", f"--output_dir={tmp_path}", str(videos[0])]
    assert main(words) == 1
    assert "pip install 'actionrnn[explain]'" in capsys.readouterr().err


def test_a_class_that_does_not_exist_is_refused_with_a_hint(
    tiny_run: Path, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = str(tiny_run / "checkpoints" / "best.ckpt")
    words = ["explain", f"--ckpt_path={ckpt}", f"--output_dir={tmp_path}", "--label=blom"]
    assert main([*words, str(videos[0])]) == 1
    assert "there is no class 'blom'" in capsys.readouterr().err
