"""Live over a file = timeline = the sequence = predict: one trained run, every head."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import UsageError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.features.spec import FeatureSettings
from actionrnn.live.rate import sampling_rate
from actionrnn.live.timeline import Timeline, Watching, WatchSettings, timeline_of
from actionrnn.live.watch import WatchStatistics, watch
from actionrnn.models.config import HEADS, HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.video.sampling import Sampling
from actionrnn.video.sources import FileSource, Frame

WHOLE = WatchSettings("whole")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def predictor(tiny_run: Path) -> ActionPredictor:
    """Of the tiny run, as if trained at eight frames per second."""
    predictor = ActionPredictor.load(tiny_run / "checkpoints" / "best.ckpt", device="cpu")
    sampling = Sampling("fps", num_frames=1000, fps=8.0)
    return sampled_by(predictor, sampling)


def sampled_by(predictor: ActionPredictor, sampling: Sampling) -> ActionPredictor:
    settings: FeatureSettings = dataclasses.replace(predictor.spec.settings, sampling=sampling)
    predictor.spec = dataclasses.replace(predictor.spec, settings=settings)
    return predictor


@pytest.fixture(scope="module")
def gridded(tiny_run: Path) -> ActionPredictor:
    """The same over a grid of 2x2 places, for heads that look at them."""
    predictor = ActionPredictor.load(tiny_run / "checkpoints" / "best.ckpt", device="cpu")
    backbone = dataclasses.replace(predictor.spec.settings.backbone, grid=2)
    settings = dataclasses.replace(predictor.spec.settings, backbone=backbone)
    predictor.spec = dataclasses.replace(predictor.spec, settings=settings)
    return sampled_by(predictor, Sampling("fps", num_frames=1000, fps=8.0))


@pytest.fixture(scope="module")
def video(tiny_data: Path) -> Path:
    return Manifest.load(tiny_data).video_paths()[0]


def live_over(predictor: ActionPredictor, path: Path, settings: WatchSettings) -> Timeline:
    """What `live` does with a file: pictures one by one."""
    source = FileSource(str(path))
    statistics = WatchStatistics()
    watching = Watching.of(predictor, settings, source, {})
    scores = list(
        watch(
            *(source, watching.sampler, watching.scorer, statistics), drops=False, least=1, most=1
        )
    )
    seconds = np.array([scored.seconds for scored in scores])
    probs = np.stack([scored.probs_K for scored in scores])
    return Timeline(str(path), predictor.class_names, seconds, probs, 0.125, [], statistics)


@pytest.mark.parametrize("name", HEADS)
def test_live_and_timeline_and_the_sequence_agree(
    predictor: ActionPredictor, gridded: ActionPredictor, video: Path, name: str
) -> None:
    predictor, num_cells = (gridded, 4) if HEADS[name].needs_places else (predictor, 1)
    config = HeadConfig(hidden_size=8, inputs="features,abs_delta", **HEADS[name].settings)
    torch.manual_seed(0)
    names = predictor.class_names
    head = build_head(config, predictor.backbone.feature_dim, len(names), num_cells).eval()
    predictor.recognizer.head = head
    predictor.recognizer.temperature = 1.7
    timeline = timeline_of(predictor, str(video), WHOLE, {})
    live = live_over(predictor, video, WHOLE)
    features_1TD = predictor.features(video)
    with torch.inference_mode():
        logits_TK = head(features_1TD, torch.tensor([features_1TD.shape[1]])).logits_BTK[0]
    sequence_TK = (logits_TK / 1.7).softmax(dim=1).numpy()
    np.testing.assert_allclose(timeline.probs_TK, sequence_TK, **CLOSE)
    np.testing.assert_allclose(live.probs_TK, sequence_TK, **CLOSE)
    np.testing.assert_allclose(live.seconds_T, timeline.seconds_T)
    if name != "single_frame":  # the middle frame decides there, not the last
        predicted = predictor.probabilities(video).numpy()
        np.testing.assert_allclose(timeline.probs_TK[-1], predicted, **CLOSE)


def test_several_views_are_averaged_as_predict_does(tiny_run: Path, video: Path) -> None:
    predictor = ActionPredictor.load(tiny_run / "checkpoints" / "best.ckpt", device="cpu")
    settings = predictor.spec.settings
    transform = dataclasses.replace(settings.transform, flip=True)
    settings = dataclasses.replace(settings, transform=transform)
    predictor.spec = dataclasses.replace(predictor.spec, settings=settings)
    sampled_by(predictor, Sampling("fps", num_frames=1000, fps=8.0))
    timeline = timeline_of(predictor, str(video), WHOLE, {})
    predicted = predictor.probabilities(video).numpy()
    np.testing.assert_allclose(timeline.probs_TK[-1], predicted, **CLOSE)


def test_a_new_stretch_knows_nothing_of_the_one_before(
    predictor: ActionPredictor, video: Path
) -> None:
    class Twice(FileSource):
        def frames(self):  # type: ignore[no-untyped-def]
            once = list(super().frames())
            yield from once
            yield from (Frame(100 + each.seconds, each.pixels, 1) for each in once)

    source = Twice(str(video))
    watching = Watching.of(predictor, WHOLE, source, {})
    statistics = WatchStatistics()
    scores = list(
        watch(
            *(source, watching.sampler, watching.scorer, statistics), drops=False, least=1, most=3
        )
    )
    half = len(scores) // 2
    first, second = (
        np.stack([each.probs_K for each in part]) for part in (scores[:half], scores[half:])
    )
    np.testing.assert_allclose(first, second, **CLOSE)
    assert statistics.num_scored == len(scores)
    assert statistics.latency_seconds(95) >= statistics.latency_seconds(50) > 0


def test_an_error_of_the_source_comes_after_the_scores(
    predictor: ActionPredictor, video: Path
) -> None:
    class Breaks(FileSource):
        def frames(self):  # type: ignore[no-untyped-def]
            yield from super().frames()
            raise OSError("cable pulled")

    source = Breaks(str(video))
    watching = Watching.of(predictor, WHOLE, source, {})
    scores = watch(
        *(source, watching.sampler, watching.scorer, WatchStatistics()),
        drops=False, least=1, most=1,
    )  # fmt: skip
    assert next(scores).probs_K.sum() == pytest.approx(1)
    with pytest.raises(OSError, match="cable pulled"):
        list(scores)


def test_the_rate_is_that_of_the_training(
    tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"root": str(tiny_data), "split": Manifest.load(tiny_data).splits[0]}
    assert sampling_rate(Sampling("fps", fps=5.0), 30.0, {}) == 5.0
    assert sampling_rate(Sampling("dense", frame_interval=3), 30.0, {}) == 10.0
    assert sampling_rate(Sampling(), 30.0, {}, fps=12.5) == 12.5
    uniform = Sampling(num_frames=6)
    rate = sampling_rate(uniform, 30.0, data)
    lengths = [FileSource(str(path)).seconds for path in Manifest.load(tiny_data).video_paths()]
    assert 6 / max(lengths) <= rate <= 6 / min(lengths)
    assert "--fps sets another" in capsys.readouterr().err
    with pytest.raises(UsageError, match="give --fps"):
        sampling_rate(uniform, 30.0, {"root": "/gone", "split": "split1"})
    with pytest.raises(UsageError, match="must be positive"):
        sampling_rate(uniform, 30.0, data, fps=0.0)
