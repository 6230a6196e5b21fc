"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from actionrnn.process import prepare_process

# A busy machine is slow, and that is no failure.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
prepare_process()
# The tests of several files run side by side, one to a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(
    os.environ.get("ACTIONRNN_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos and weights beside the checkout; tests using it are marked `real`."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data absent: {SHARED_DATA} (set ACTIONRNN_SHARED_DATA)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a prepared synthetic dataset of 60 small clips."""
    from actionrnn.datasets.synthetic.prepare import prepare

    root = tmp_path_factory.mktemp("tiny") / "data"
    prepare(None, root, num_clips=60, size=32, min_frames=9, max_frames=15, difficulty="easy")
    return root


@pytest.fixture(scope="session")
def tiny_features() -> list[str]:
    """Settings of features that are quick to compute."""
    return [
        "--features.backbone.name=squeezenet1_1",
        "--features.backbone.weights=random",
        "--features.sampling.num_frames=6",
        "--features.transform.size=32",
        "--features.transform.resize=squash",
    ]


@pytest.fixture(scope="session")
def tiny_fit(tiny_data: Path, tiny_features: list[str]) -> list[str]:
    """Words of a `fit` command on the tiny dataset that takes about a second."""
    return [
        "fit",
        f"--data.root={tiny_data}",
        "--data.batch_size=8",
        *tiny_features,
        "--model.hidden_size=16",
        "--trainer.max_epochs=3",
        "--trainer.logger=false",
    ]


@pytest.fixture(scope="session")
def tiny_run(tiny_fit: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of an LSTM trained and tested on the tiny dataset."""
    from actionrnn.cli import main

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main([*tiny_fit, f"--run.folder={folder}"]) == 0
    assert main(["test", "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")]) == 0
    return folder
