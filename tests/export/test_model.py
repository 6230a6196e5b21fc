"""`actionrnn export`, from checkpoint to a process without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import actionrnn
from actionrnn.cli import main
from actionrnn.export.model import ExportOptions, export_model

pytest.importorskip("onnxruntime", reason="needs the extra `export`")
RUN = Path(actionrnn.__file__).parent / "export" / "run.py"
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "actionrnn", "pandas"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def videos_of(root: Path) -> list[str]:
    return [str(path) for path in sorted((root / "videos").rglob("*.mp4"))]


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "model"
    words = ["export", "--ckpt_path", str(tiny_run / "checkpoints" / "best.ckpt"), "--to", "onnx"]
    assert main([*words, "--output", str(output), "--num_clips", "3"]) == 0
    return output


@pytest.mark.slow
def test_the_runner_gives_predicts_probabilities_without_torch(
    exported: Path, tiny_run: Path, tiny_data: Path
) -> None:
    assert len(RUN.read_text().splitlines()) < 60
    videos = videos_of(tiny_data)[:3]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(exported / "run.py"), *videos],
        capture_output=True,
        text=True,
        check=True,
    )
    model = actionrnn.load(str(tiny_run / "checkpoints" / "best.ckpt"), device="cpu")
    for line, video in zip(done.stdout.splitlines(), videos, strict=True):
        found = json.loads(line)
        wanted = dict(model.predict(video))
        assert found["path"] == video
        assert found["probabilities"] == pytest.approx(wanted, abs=1e-4)
        assert next(iter(found["probabilities"])) == next(iter(wanted))


@pytest.mark.slow
def test_the_report_says_what_was_measured_and_what_it_is(exported: Path, tiny_run: Path) -> None:
    report = json.loads((exported / "export.json").read_text())
    assert {path.name for path in exported.iterdir()} == {
        "clip.onnx", "step.onnx", "export.json", "run.py",
    }  # fmt: skip
    assert len(report["measured_on"]) == 3
    assert len(report["class_names"]) == 10
    for graph in report["graphs"].values():
        assert graph["largest_difference"] <= report["tolerance"]
        assert graph["top_class_agreement"] == 1
        assert len(graph["sha256"]) == 64
    assert report["graphs"]["step"]["num_scores"] == 3 * 6
    names = [part["name"] for part in report["graphs"]["step"]["state"]]
    assert names == ["layer0_hidden", "layer0_cell"]
    assert len(report["hashes"]["checkpoint_sha256"]) == 64


@pytest.mark.slow
def test_what_is_not_the_model_is_not_written(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--ckpt_path", str(tiny_run / "checkpoints" / "best.ckpt")]
    words += ["--inputs", "features", "--num_clips", "1", "--output", str(tmp_path / "model")]
    assert main([*words, "--tolerance", "0"]) == 1
    assert "is not the model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_and_data_that_is_not_are_named(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--ckpt_path", str(tiny_run / "checkpoints" / "best.ckpt")]
    assert main([*words, "--output", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main([*words, "--output", str(tmp_path / "m"), "--data.root", str(tmp_path)]) == 1
    assert "--videos a.mp4" in capsys.readouterr().err
    assert main([*words, "--to", "coreml"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.real
def test_a_real_model_takes_frames_of_any_size(
    tiny_fit: list[str], tiny_data: Path, shared_data: Path, tmp_path: Path
) -> None:
    """Resizing, normalising and the backbone are inside; views and flips are averaged."""
    words = [word for word in tiny_fit if not word.startswith("--features.transform.resize")]
    words += ["--features.transform.spatial_views=3", "--features.transform.flip=true"]
    words += ["--features.sampling.num_temporal_views=2", "--model.inputs=features,delta"]
    words += ["--trainer.max_epochs=1", f"--data.features_dir={tmp_path / 'features'}"]
    assert main([*words, f"--run.folder={tmp_path / 'run'}"]) == 0
    videos = sorted((shared_data / "surveillance-fights").rglob("*.mp4"))[:200:100]
    options = ExportOptions(videos=[str(path) for path in videos], output=tmp_path / "model")
    folder = export_model(next((tmp_path / "run").rglob("best.ckpt")), options)
    report = json.loads((folder / "export.json").read_text())
    assert report["graphs"]["clip"]["largest_difference"] < 1e-4
    assert report["graphs"]["step"]["largest_difference"] < 1e-4
    assert report["graphs"]["step"]["state"][0]["rows_per_stream"] == 6


@pytest.mark.parametrize("mode", ["uniform", "fps", "dense"])
@pytest.mark.parametrize("count", [1, 2, 30, 61])
def test_the_runner_samples_as_the_package_does(mode: str, count: int) -> None:
    pytest.importorskip("onnxruntime")
    from dataclasses import asdict

    from actionrnn.export.run import frame_indices
    from actionrnn.video.sampling import Sampling

    sampling = Sampling(mode=mode, num_frames=7, num_temporal_views=2)  # type: ignore[arg-type]
    times = np.arange(count) / 24 + 0.5
    assert frame_indices(asdict(sampling), list(times)) == sampling.indices(count, times)
