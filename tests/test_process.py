"""What the command line sets for its process; what the user has set stays; nobody is told of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actionrnn.process import prepare_process


def test_variables_that_are_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    prepare_process()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["MKL_CBWR"] == "AUTO"


RUNTIMES = """
import multiprocessing, sys
from pathlib import Path
import torch

def forked(*_):
    raise AssertionError("a process with threads is forked")

multiprocessing.Process.start = forked
from actionrnn.export.formats import library
from actionrnn.features.openvino import compiled, converted

runtime, written = library("onnxruntime"), Path(sys.argv[1], "x.onnx")
pictures = torch.ones(2, 3, 8, 8, dtype=torch.uint8)
module = torch.nn.Flatten()
network = converted(module, pictures)
assert compiled(network)(pictures).shape == (2, 192)
torch.onnx.export(module, (pictures,), written, dynamo=True)
assert runtime.InferenceSession(written).run(None, {"input": pictures.numpy()})[0].shape == (2, 192)
"""


@pytest.mark.slow
def test_runtimes_report_nothing_to_their_makers(tmp_path: Path) -> None:
    for name in ("openvino", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.endswith("TELEMETRY")}
    caches = {"XDG_CACHE_HOME": str(home / "cache"), "MPLCONFIGDIR": str(tmp_path)}
    environment = {**kept, "HOME": str(home), **caches}
    command = [sys.executable, "-c", RUNTIMES, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = [path for path in home.rglob("*") if path.is_file()]
    assert not left, "an identity or a report waits here to be sent"
