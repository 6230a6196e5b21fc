"""On a Ray cluster: the same features as here, whatever happens to its workers."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.features import ray_engine
from actionrnn.features.extract import ensure_features
from actionrnn.features.shard import Entry
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.store import FeatureStore
from actionrnn.features.weights import build_model
from actionrnn.video.errors import VideoError
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

ray = pytest.importorskip("ray")
SETTINGS = FeatureSettings(
    BackboneConfig("squeezenet1_1", "random"),
    Sampling(num_frames=4),
    Transform(size=32, resize="squash"),
)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores and two workers of one, all on this machine."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def all_of(store: FeatureStore) -> dict[str, tuple[Entry, np.ndarray | None]]:
    failures = store.failures
    return {
        name: (entry, None if name in failures else store.read(name))
        for name, entry in store.entries.items()
    }


def assert_same(first: FeatureStore, second: FeatureStore) -> None:
    one, other = all_of(first), all_of(second)
    assert one.keys() == other.keys()
    for name, (entry, array) in one.items():
        assert entry == other[name][0]
        assert np.array_equal(array, other[name][1]), name  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_cluster_gives_what_one_machine_gives(
    copied: Callable[[slice], Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = copied(slice(12))
    manifest.table.loc[0, "end_seconds"] = 0.5  # fewer frames than the others
    manifest.video_paths()[1].write_bytes(b"no video")
    manifest.video_paths()[2].unlink()
    here = ensure_features(manifest, SETTINGS, tmp_path / "here", num_workers=1)
    monkeypatch.chdir(tmp_path)  # a relative place means the same on every node
    there = ensure_features(
        Manifest(Path(), manifest.table, manifest.class_names), SETTINGS, Path("there"),
        engine="ray",
    )  # fmt: skip
    # The texts of failures name the paths, which are relative in one of them.
    assert there.failures.keys() == here.failures.keys()
    assert len(here.failures) == 2
    for name in here.video_ids:
        assert np.array_equal(there.read(name), here.read(name))
    with pytest.raises(VideoError, match=r"not a video|no such file"):
        ensure_features(manifest, SETTINGS, tmp_path / "x", engine="ray", on_bad_video="raise")
    wrong = FeatureSettings(BackboneConfig("squeezenet1_1", str(tmp_path / "nowhere.pth")))
    with pytest.raises(ActionRNNError, match=r"nowhere\.pth"):
        ensure_features(manifest, wrong, tmp_path / "x", engine="ray")
    weights = tmp_path / "weights.safetensors"
    save_file(build_model(SETTINGS.backbone).state_dict(), weights)
    wrong = FeatureSettings(BackboneConfig("squeezenet1_1", str(weights), sha256="00" * 32))
    with pytest.raises(ActionRNNError, match=r"node .* are not the wanted ones"):
        ensure_features(manifest, wrong, tmp_path / "x", engine="ray")
    with pytest.raises(UsageError, match="no node of the Ray cluster has a GPU"):
        ensure_features(manifest, SETTINGS, tmp_path / "x", engine="ray", device="cuda")
    monkeypatch.setattr(ray_engine, "__version__", "9")  # of this process alone
    with pytest.raises(ActionRNNError, match="this machine 9"):
        ensure_features(manifest, SETTINGS, tmp_path / "y", engine="ray")


@pytest.mark.slow
def test_nothing_is_lost_with_a_worker(
    cluster: Any, tiny_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An actor is killed midway, and after it one of the two nodes."""
    manifest = Manifest.load(tiny_data)
    here = ensure_features(manifest, SETTINGS, tmp_path / "here", num_workers=1)
    folder = tmp_path / "there"
    killed: list[str] = []

    def kill() -> None:
        """When the first shard is there."""
        while not list(folder.glob("*/*.safetensors")):
            time.sleep(0.05)
        name = r"ray::.*_Backbone"
        found = subprocess.run(["pgrep", "-f", name], capture_output=True, text=True, check=True)
        os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
        killed.append("actor")
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        killed.append("node")

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actionrnn.features.extract.SECONDS_PER_SHARD", 0.0)
        patch.setattr(ray_engine, "CLIPS_PER_BLOCK", 1)
        there = ensure_features(manifest, SETTINGS, folder, engine="ray")
    thread.join(60)
    assert killed == ["actor", "node"]
    assert_same(here, there)


@pytest.mark.slow
def test_the_command_is_quiet_and_goes_on(tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    words = [
        sys.executable, "-m", "actionrnn", "extract", "--engine", "ray", "--data", "synthetic",
        "--data.root=data", "--backbone=squeezenet1_1", "--weights=random",
        "--features.transform.size=32", "--features.sampling.num_frames=4",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "Set ray log level" not in line]
    assert all(line.startswith(("features:", "extract:")) for line in lines), done.stderr
    again = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert again.stdout == done.stdout
    assert "to extract" not in again.stderr


def test_a_node_with_other_versions_is_refused() -> None:
    here = ray_engine.node_versions("auto")
    ray_engine.check_versions(here, here)
    with pytest.raises(ActionRNNError, match=r"has torch 1\.0, this machine"):
        ray_engine.check_versions(here, {**here, "torch": "1.0"})
    with pytest.raises(ActionRNNError, match="has no folder /nowhere/at/all"):
        ray_engine.enter_folder("/nowhere/at/all")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ActionRNNError, match=r"pip install 'actionrnn\[ray\]'"), \
            ray_engine.ray_cluster():  # fmt: skip
        pass


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ActionRNNError, match=r"RAY_ADDRESS 127\.0\.0\.1:1 did not"), \
            ray_engine.ray_cluster():  # fmt: skip
        pass
