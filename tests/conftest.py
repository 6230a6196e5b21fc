"""Fixtures every test may use."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from actionrnn.process import prepare_process

if TYPE_CHECKING:
    from actionrnn.evaluation.predictions import Predictions

MakePredictions = Callable[..., "Predictions"]

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


@pytest.fixture(scope="session", autouse=True)
def decoders_here() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Decoding happens in this process, for starting another takes 2 s; gives a way back."""
    from actionrnn.video import isolate

    plain = {name: getattr(isolate.DecodeWorker, name) for name in ("start", "ask")}

    def ask(worker: isolate.DecodeWorker, request: Any) -> Any:
        answer = isolate._answer(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @contextmanager
    def real() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, method in plain.items():
                patch.setattr(isolate.DecodeWorker, name, method)
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolate.DecodeWorker, "start", lambda worker: None)
        patch.setattr(isolate.DecodeWorker, "ask", ask)
        yield real


@pytest.fixture
def real_decoders(decoders_here: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Decoding happens in processes of its own, as it does for users."""
    with decoders_here():
        yield


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
def tiny_control_fit(tiny_fit: list[str]) -> list[str]:
    """The same without the sizes that controls have not: add `--model.head`."""
    return [word for word in tiny_fit if not word.startswith("--model.hidden_size")]


@pytest.fixture(scope="session")
def tiny_run(tiny_fit: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of an LSTM trained and tested on the tiny dataset."""
    from actionrnn.cli import main

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main([*tiny_fit, f"--run.folder={folder}"]) == 0
    assert main(["test", "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")]) == 0
    return folder


@pytest.fixture
def make_predictions() -> MakePredictions:
    """Scores of `num_clips` clips in `num_groups` groups; `skill` is how right they are."""

    def make(
        num_clips: int = 120,
        num_groups: int = 12,
        num_classes: int = 6,
        num_views: int = 1,
        skill: float = 2.0,
        seed: int = 0,
        unreadable: int = 0,
        temperature: float = 1.0,
        leaked: bool = False,
    ) -> "Predictions":
        import pandas as pd
        import torch

        from actionrnn.datasets.manifest import Manifest
        from actionrnn.evaluation.predictions import Predictions

        names = [f"class_{k}" for k in range(num_classes)]
        truth = torch.randint(num_classes, (num_clips,), generator=torch.Generator().manual_seed(7))
        table = pd.DataFrame(
            {
                "video_id": [f"clip{n:03d}" for n in range(num_clips)],
                "path": [f"videos/clip{n:03d}.mp4" for n in range(num_clips)],
                "label": [names[k] for k in truth.tolist()],
                "group": [f"g{n % num_groups}" for n in range(num_clips)],
                "split1": "test",
            }
        )
        noise = torch.Generator().manual_seed(seed)
        logits_NVK = torch.randn(num_clips, num_views, num_classes, generator=noise).double()
        logits_NVK[torch.arange(num_clips), :, truth] += skill
        errors = {}
        for n in range(unreadable):
            logits_NVK[n] = float("nan")
            errors[f"clip{n:03d}"] = "no video stream"
        part = Manifest(Path("nowhere"), table, names)
        return Predictions.from_logits(
            part, "test", logits_NVK, errors, leaked=leaked, temperature=temperature
        )

    return make


@pytest.fixture(scope="session")
def interruptible_command() -> list[str]:
    """`actionrnn` as a terminal starts it: a shell's background has its children ignore SIGINT.

    Set there and not by `preexec_fn`: a process with threads must not run Python between fork and
    exec.
    """
    script = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('actionrnn', run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", script]
