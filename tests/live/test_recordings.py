"""From timelines to a run: trained, tested, watched; the three give the same scores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonargparse import Namespace

from actionrnn.cli import main
from actionrnn.commands.watch_settings import watch_settings
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.synthetic.prepare import prepare
from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.live.timeline import timeline_of
from actionrnn.training.checkpoint import background_of


@pytest.fixture(scope="module")
def stream_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small streams: one to train on, one to validate with, one to test with."""
    root = tmp_path_factory.mktemp("stream") / "data"
    sizes = {"num_clips": 30, "size": 32, "min_frames": 9, "max_frames": 13}
    prepare(None, root, difficulty="easy", variant="stream", **sizes)
    return root


@pytest.fixture(scope="module")
def stream_fit(stream_data: Path, tiny_features: list[str]) -> list[str]:
    return [
        "fit",
        f"--data.root={stream_data}",
        "--data.batch_size=8",
        "--data.window=16",
        "--data.stride=8",
        *tiny_features,
        "--features.sampling.mode=fps",
        "--features.sampling.fps=6",
        "--model.cell=gru",
        "--model.hidden_size=16",
        "--trainer.max_epochs=2",
        "--trainer.logger=false",
    ]


@pytest.fixture(scope="module")
def stream_run(stream_fit: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GRU trained on every step of the streams, and tested."""
    folder = tmp_path_factory.mktemp("runs") / "stream"
    assert main([*stream_fit, "--model.loss=every_frame", f"--run.folder={folder}"]) == 0
    assert main(["test", "--ckpt_path", str(folder)]) == 0
    return folder


def test_a_run_is_tested_by_its_timelines(stream_run: Path, stream_data: Path) -> None:
    figures = json.loads((stream_run / "metrics.json").read_text())
    assert figures["num_recordings"] == 1
    assert figures["num_segments"] == 10
    assert 0 <= figures["frame_map"] <= 1
    assert figures["checkpoint"]["sha256"]
    steps = pd.read_parquet(stream_run / "timelines.parquet")
    manifest = Manifest.load(stream_data).split("split1", "test")
    assert manifest.timelines is not None
    shown = manifest.timelines.eval("end_seconds - start_seconds").sum() * 6
    assert abs(int((steps["label"] > 0).sum()) - shown) < len(manifest.timelines)
    assert background_of(stream_run / "checkpoints" / "best.ckpt") == "background"


def test_timeline_and_test_give_the_same_scores(stream_run: Path, stream_data: Path) -> None:
    ckpt_path = str(stream_run / "checkpoints" / "best.ckpt")
    options = Namespace(
        ckpt_path=ckpt_path, background=None, on=["0.6"], off=[], min_seconds=None, cooldown=None,
        history=None, history_seconds=None, fps=None, events=None,
    )  # fmt: skip
    settings = watch_settings(options)
    assert settings.history_seconds == pytest.approx(16 / 6)
    assert settings.rules.background == ("background",)
    model = TrainedModel.load(ckpt_path)
    (path,) = model.data.part("test").video_paths()
    found = timeline_of(ActionPredictor.load(ckpt_path), str(path), settings, model.data.options())
    expected = pd.read_parquet(stream_run / "timelines.parquet")
    assert len(found.probs_TK) == len(expected) > 2 * 16, "it restarts"
    np.testing.assert_allclose(found.probs_TK, np.stack(expected["probs"]), atol=1e-5)


@pytest.mark.parametrize("head", ["gru", "mean_pool"])
def test_the_last_step_of_windows_can_be_learned_from(
    stream_fit: list[str], tmp_path: Path, head: str
) -> None:
    words = stream_fit
    if head == "mean_pool":
        words = [
            word for word in stream_fit if not word.startswith(("--model.hidden", "--model.cell"))
        ]
        words = [*words, "--model.head=mean_pool"]
    folder = tmp_path / "run"
    fit = [*words, "--model.loss=last_step", f"--run.folder={folder}"]
    assert main([*fit, "--data.test_stride=1", "--model.class_weights=balanced"]) == 0
    assert main(["validate", "--ckpt_path", str(folder)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model.loss every_frame"),
        (["--model.loss=last_step", "--data.sampler=balanced"], "--model.class_weights balanced"),
        (["--model.loss=last_step", "--features.sampling.mode=uniform"], "sampling.mode fps"),
        (["--model.loss=last_step", "--model.bidirectional=true"], "--model.bidirectional false"),
        (["--model.loss=last_step", "--data.window=15"], "an even number"),
    ],
)
def test_what_timelines_cannot_be_trained_with(
    stream_fit: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert main([*stream_fit, *words, f"--run.folder={tmp_path / 'run'}"]) in (1, 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_questions_about_clips_are_refused(
    stream_run: Path, stream_fit: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = TrainedModel.load(stream_run / "checkpoints" / "best.ckpt")
    scores = model.score("test")
    assert len(scores) == len(model.targets("test")), "of every step"
    with pytest.raises(UsageError, match="recordings have none"):
        model.predictions("test", scores)
    with pytest.raises(ActionRNNError, match="actionrnn timeline"):
        model.grouped("test", scores)
    assert main(["predict", "--ckpt_path", str(stream_run)]) == 2
    assert main(["predict", "--ckpt_path", str(stream_run), __file__]) == 2
    assert "actionrnn timeline" in capsys.readouterr().err
    assert main(["report", str(stream_run)]) == 1
    assert "timelines.parquet" in capsys.readouterr().err
    assert main(["folds", *stream_fit[1:], "--model.loss=last_step"]) == 2
    assert "one by one" in capsys.readouterr().err
    part = ["--trainer.limit_test_batches=1", "--data.batch_size=2"]
    assert main(["test", "--ckpt_path", str(stream_run), *part]) == 2
    assert "from their start to their end" in capsys.readouterr().err


def test_an_unreadable_recording_counts(
    stream_run: Path, stream_data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(stream_data, root, ignore=shutil.ignore_patterns("features"))
    manifest = Manifest.load(root)
    table = manifest.table
    row = table[table["split1"] == "test"].assign(video_id="cut", path="videos/cut.mp4", group="c")
    (root / "videos" / "cut.mp4").write_bytes(b"no video")
    segments = pd.DataFrame(
        [("cut", "bloom", 1.0, 2.0)],
        columns=["video_id", "label", "start_seconds", "end_seconds"],
    )
    Manifest(
        root,
        pd.concat([table, row], ignore_index=True),
        manifest.class_names,
        pd.concat([manifest.timelines, segments], ignore_index=True),
    ).save()
    test = ["test", "--ckpt_path", str(stream_run), "--data.root", str(root)]
    assert main([*test, "--run.folder", str(tmp_path / "out"), "--extraction.max_bad=1"]) == 0
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["num_unreadable"] == 1
    assert figures["num_segments"] == 11
