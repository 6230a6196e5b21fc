"""`actionrnn extract`: its short forms, its shares, its exit codes; and pictures as clips."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import PIL
import pytest
from PIL import Image

from actionrnn.cli import main
from actionrnn.commands.extract import SHORT_FORMS
from actionrnn.datasets.manifest import Manifest
from actionrnn.features import extract
from actionrnn.features.clip_sources import clips_of, content_of, source_of
from actionrnn.features.extract import ensure_features
from actionrnn.features.progress import ExtractionProgress
from actionrnn.features.resolve import readers_of, spec_of
from actionrnn.features.shard import Entry
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.store import FeatureStore
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

SETTINGS = FeatureSettings(
    BackboneConfig("squeezenet1_1", "random"),
    Sampling(num_frames=2),
    Transform(size=32, resize="squash"),
)


@pytest.fixture
def root(copied: Callable[[slice], Manifest]) -> Path:
    """Nine clips, in a folder of their own."""
    return copied(slice(9)).root


def words(root: Path, *more: str) -> list[str]:
    return [
        "extract", f"--data.root={root}", "--backbone", "squeezenet1_1", "--weights=random",
        "--features.sampling.num_frames=2", "--features.transform.size=32",
        "--features.transform.resize=squash", "--workers", "1", *more,
    ]  # fmt: skip


def stored(root: Path) -> FeatureStore:
    (folder,) = (root / "features").iterdir()
    return FeatureStore.open(folder, verify=True)


def test_shares_are_given_by_hand_or_by_the_launcher(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = Manifest.load(root).table["video_id"].tolist()
    assert main(words(root, "--shard", "1/3")) == 0
    assert "extract 1/3: 3 of 3 clips" in capsys.readouterr().err
    assert sorted(stored(root).video_ids) == sorted(ids[1::3])
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main(words(root)) == 0
    assert sorted(stored(root).video_ids) == sorted(ids[0::3] + ids[1::3])
    assert main(words(root, "--shard", "3/3")) == 1
    assert "wanted i/n with 0 <= i < n" in capsys.readouterr().err


def test_a_slurm_array_runs_the_same_command_share_by_share(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    asked = words(root, "--shard", "0/9", "--print-slurm", "3", "--max-bad=0.5")
    assert main(asked) == 0
    script = capsys.readouterr().out
    assert "#SBATCH --array=0-2\n" in script
    assert "#SBATCH --cpus-per-task=1\n" in script, "of --workers 1"
    assert not (root / "features").exists(), "nothing is computed where the script is asked for"
    command = shlex.split(script.splitlines()[-1])
    assert command[:4] == ["exec", sys.executable, "-m", "actionrnn"]
    assert command[4:] == words(root, "--max-bad=0.5", "--shard", "auto")
    assert main(command[4:]) == 2
    assert "--shard auto: nothing here says which share" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    for task in "021":
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        assert main(command[4:]) == 0
        talk = capsys.readouterr().err
        assert f"share {task}/3 (SLURM_ARRAY_TASK_ID {task})" in talk
        assert f"extract {task}/3: 3 of 3 clips" in talk
    assert len(stored(root).video_ids) == 9
    assert main(words(root, "--print-slurm", "0")) == 2
    assert main(words(root, "--print-slurm", "--nonsense")) == 2, "told now, not in every task"


def test_short_forms_stand_for_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in SHORT_FORMS.values():
        assert f"[{option} " in shown


def test_unreadable_clips_stop_a_run_when_asked_and_too_many_reject_the_data(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in Manifest.load(root).video_paths()[:2]:
        path.write_bytes(b"no video" * 100)
    assert main(words(root, "--on-bad-video", "raise")) == 1
    assert main(words(root)) == 3
    talk = capsys.readouterr().err
    assert "2 of 9 clips could not be read" in talk
    assert "all are listed in" in talk
    assert main(words(root, "--max-bad", "0.3")) == 0
    assert "7 clips, 1 views, D = 512, 2 unreadable" in capsys.readouterr().out
    assert main(words(root, "--max-bad", "-1")) == 1
    assert "--extraction.max_bad -1.0: must be at least 0" in capsys.readouterr().err


def test_content_and_failures_are_checked_again_on_request(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Manifest.load(root).video_paths()[0]
    content, state = bad.read_bytes(), bad.stat()
    bad.write_bytes(b"\0" * len(content))
    os.utime(bad, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert main(words(root)) == 0
    assert len(stored(root).failures) == 1
    bad.write_bytes(content)
    os.utime(bad, ns=(state.st_atime_ns, state.st_mtime_ns))
    capsys.readouterr()
    assert main(words(root)) == 0
    assert "to extract" not in capsys.readouterr().err
    assert main(words(root, "--check-content")) == 0
    assert "features: 1 of 9 clips to extract" in capsys.readouterr().err
    assert not stored(root).failures
    assert main(words(root, "--retry-failed")) == 0


def test_progress_says_rates_time_left_bad_clips_and_the_bottleneck(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionrnn.progress.SECONDS_PER_LINE", -1.0)

    class Stage:
        def __init__(self, share: float) -> None:
            self._share = share

        def share(self) -> float:
            return self._share

    stages = {"decoding": Stage(0.9), "the backbone": Stage(0.3)}
    with ExtractionProgress(4, stages) as progress:  # type: ignore[arg-type]
        progress.advance(Entry("a", "s", 16), 2)
        progress.advance(Entry("b", "s", error="broken"), 0)
    lines = capsys.readouterr().err.splitlines()
    for word in ("extract: 2 of 4 clips", "clips/s", "frames/s", "1 unreadable", "s left"):
        assert word in lines[0]
    assert "limited by decoding" in lines[0]
    assert progress.pictures == 32


def test_the_time_left_does_not_hold_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("actionrnn.progress.time.monotonic", lambda: clock[-1])
    with ExtractionProgress(4, {}) as progress:
        for seconds in (100.0, 111.0):
            clock.append(seconds)
            progress.advance(Entry("a", "s", 16), 1)
    assert "; 22 s left" in capsys.readouterr().err


@pytest.fixture
def pictures(tmp_path: Path) -> Manifest:
    import pandas as pd

    rng = np.random.default_rng(0)
    for clip in ("1", "2"):
        (tmp_path / clip).mkdir()
        for number in range(4):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / clip / f"{number:05}.png")
    table = pd.DataFrame({"video_id": ["1", "2"], "path": ["1", "2"]})
    return Manifest(tmp_path, table.assign(label="a", split1="train"), ["a"])


def test_a_folder_of_pictures_is_read_by_pillow_and_read_again_when_one_changes(
    pictures: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ensure_features(pictures, SETTINGS, tmp_path / "f", num_workers=1)
    assert store.spec.reader == f"images {PIL.__version__}"
    picture = tmp_path / "2" / "00001.png"
    Image.new("RGB", (32, 32)).save(picture)
    (tmp_path / "1" / "Thumbs.db").write_text("no picture")
    capsys.readouterr()
    ensure_features(pictures, SETTINGS, tmp_path / "f", num_workers=1)
    assert "features: 1 of 2 clips to extract" in capsys.readouterr().err


def test_the_content_of_pictures_is_told_by_their_bytes(pictures: Manifest) -> None:
    first, second = clips_of(pictures, SETTINGS)
    before = content_of(first)
    assert len(before) == 32
    assert before != content_of(second)
    path = Path(first.request.path)
    os.utime(path / "00000.png", (0, 0))
    assert source_of(path) != first.source
    assert content_of(first) == before
    (path / "00000.png").unlink()
    assert content_of(first) != before


def test_everything_that_may_read_a_clip_is_recorded(pictures: Manifest, root: Path) -> None:
    folders = clips_of(pictures, SETTINGS)
    videos = clips_of(Manifest.load(root), SETTINGS)
    assert readers_of(videos, "auto") == readers_of(videos, "pyav") == f"pyav {av.__version__}"
    assert readers_of(videos, "decord").startswith("decord ")
    assert readers_of(videos + folders, "pyav").endswith(f", images {PIL.__version__}")


def test_what_random_weights_were_trained_on_is_not_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Manifest.load(root)
    spec = spec_of(SETTINGS)
    extract.explain_missing(tmp_path / "none", spec, 1, len(manifest.table))
    assert "were trained on" not in capsys.readouterr().err
    published = replace(
        SETTINGS, backbone=BackboneConfig("squeezenet1_1", "IMAGENET1K_V1", sha256="ab" * 32)
    )
    extract.explain_missing(tmp_path / "none", spec_of(published), 1, 9)
    assert "trained on 224 px pictures, these are 32 px" in capsys.readouterr().err


@pytest.mark.slow
def test_torchrun_shares_the_work_and_gives_the_same_bits(root: Path) -> None:
    assert main(words(root, f"--data.features_dir={root / 'alone'}")) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3"]
    rest = words(root, f"--data.features_dir={root / 'shared'}")
    run = subprocess.run(
        [*launcher, "-m", "actionrnn", *rest], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert all(f"extract {rank}/3: 3 of 3 clips" in run.stderr for rank in range(3))
    alone, shared = (
        FeatureStore.open(next((root / name).iterdir()), verify=True)
        for name in ("alone", "shared")
    )
    assert alone.folder.name == shared.folder.name
    assert sorted(alone.video_ids) == sorted(shared.video_ids)
    assert len(list(shared.folder.glob("*.safetensors"))) == 3
    for name in alone.video_ids:
        assert np.array_equal(alone.read(name), shared.read(name))
