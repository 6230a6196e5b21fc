"""A clip explained end to end, on the tiny run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.explain import explain_clip
from actionrnn.explain.heatmap import heat_maps
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.spec import BackboneConfig
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.video.reader import open_video


@pytest.fixture(scope="module")
def predictor(tiny_run: Path) -> ActionPredictor:
    return ActionPredictor.load(tiny_run / "checkpoints" / "best.ckpt", device="cpu")


@pytest.fixture(scope="module")
def video(tiny_data: Path) -> Path:
    return Manifest.load(tiny_data).video_paths()[0]


def test_the_scores_are_those_of_predict(predictor: ActionPredictor, video: Path) -> None:
    clip = explain_clip(predictor, video)
    assert np.array_equal(clip.probs_K, predictor.probabilities(video).numpy())
    assert clip.label == int(clip.probs_K.argmax())
    # The evidence ends with the score of the explained view; here there is one view.
    assert clip.evidence_TK[-1] == pytest.approx(clip.probs_K, abs=1e-5)
    assert len(clip.indices_T) == len(clip.frames_TCHW) == len(clip.evidence_TK) == 6
    assert [each.gate for each in clip.gates] == ["input", "forget", "output", "cell"]
    assert all(each.values_TH.shape == (6, 16) for each in clip.gates)
    again = explain_clip(predictor, video)
    assert json.dumps(again.to_dict()) == json.dumps(clip.to_dict())


def test_another_class_can_be_explained(predictor: ActionPredictor, video: Path) -> None:
    name = predictor.class_names[3]
    clip = explain_clip(predictor, video, name)
    assert clip.to_dict()["label"] == name
    with pytest.raises(ActionRNNError, match="there is no class"):
        explain_clip(predictor, video, "flying")


@pytest.mark.parametrize("grid", [1, 2])
def test_heat_is_the_gradient_times_the_map(grid: int) -> None:
    """Against a plain loop; averaged over a grid of 1 this is Grad-CAM up to its constant."""
    config = BackboneConfig("squeezenet1_1", "random", layer="features.4", grid=grid)
    backbone = FrozenBackbone(config)
    frames = torch.randint(0, 256, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    frames_TCHW = frames.to(torch.uint8)
    features_TD = backbone(frames_TCHW)
    head = build_head(HeadConfig(hidden_size=8), backbone.feature_dim, 3).eval()
    heat_Thw = heat_maps(backbone, head, frames_TCHW, features_TD, 1)
    maps_TChw = backbone.feature_maps(frames_TCHW)
    maps_TChw.requires_grad_()
    pooled = torch.nn.functional.adaptive_avg_pool2d(maps_TChw, grid).flatten(1)
    assert pooled.detach() == pytest.approx(features_TD, abs=1e-4)
    logit = head(pooled[None], torch.tensor([4])).logits_BK[0, 1]
    gradient = torch.autograd.grad(logit, maps_TChw)[0]
    weighed = gradient.mean(dim=(2, 3), keepdim=True) if grid == 1 else gradient
    expected = (weighed * maps_TChw).sum(dim=1).relu()
    assert heat_Thw is not None
    assert heat_Thw == pytest.approx(expected.detach(), rel=1e-3, abs=1e-7)
    backbone.close()


def test_the_verb_writes_a_sheet_a_film_and_figures(
    tiny_run: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    ckpt = str(tiny_run / "checkpoints" / "best.ckpt")
    words = ["explain", "--ckpt_path", ckpt, "--output_dir", str(tmp_path / "out"), "--json"]
    assert main([*words, str(broken), str(video)]) == 1
    printed = capsys.readouterr()
    assert "broken.mp4" in printed.err
    assert "the file is empty" in printed.err
    result = json.loads(printed.out)
    assert result == json.loads((tmp_path / "out" / f"{video.stem}.json").read_text())
    assert set(result["saliency"]) == {"occlusion", "integrated gradients"}
    with Image.open(tmp_path / "out" / f"{video.stem}.png") as sheet:
        assert min(sheet.size) > 600
    film = open_video(tmp_path / "out" / f"{video.stem}.mp4")
    assert film.num_frames == open_video(video).num_frames
    assert film.read([0]).shape[1] == 360


def test_a_survey_of_the_split(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = str(tiny_run / "checkpoints" / "best.ckpt")
    words = ["explain", "--ckpt_path", ckpt, "--output_dir", str(tmp_path), "--num_clips", "5"]
    assert main(words) == 0
    assert "explanations of 5 clips" in capsys.readouterr().out
    written = json.loads((tmp_path / "survey.json").read_text())
    assert 0 <= written["methods"]["occlusion"]["better_than_random"] <= 1
    assert main(["explain", "--ckpt_path", ckpt]) == 2
    assert "explain needs a video" in capsys.readouterr().err
