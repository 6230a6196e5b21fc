"""The backbone on Intel's OpenVINO runtime, in float32, faster than torch on its CPUs."""

import importlib.metadata
import importlib.util
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError
from actionrnn.process import silence_reports


def is_installed() -> bool:
    """Whether OpenVINO is here, without loading it."""
    return importlib.util.find_spec("openvino") is not None


def runtime_version() -> str:
    """Name and version, without loading it; another may give other features.

    Raises:
        ActionRNNError: if it is not installed.
    """
    if not is_installed():
        raise ActionRNNError(
            "--features.runtime openvino: it is missing: pip install 'actionrnn[openvino]'"
        )
    return f"openvino {importlib.metadata.version('openvino')}"


def converted(pipeline: nn.Module, example: Tensor) -> Any:
    """An OpenVINO network like `pipeline`, uint8 (N, 3, H, W) to float32 (N, D).

    Raises:
        ActionRNNError: if OpenVINO does not know what it computes.
    """
    silence_reports()
    import openvino

    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # OpenVINO traces as torch advises not
            return openvino.convert_model(pipeline, example_input=example)
    except Exception as error:  # of its own kinds, and of torch's
        reason = str(error).strip().split("\n")[0][:200]
        raise ActionRNNError(
            f"OpenVINO cannot convert the network ({reason}); use --features.runtime torch"
        ) from error


def compiled(network: Any) -> Callable[[Tensor], Tensor]:
    """A function of pictures that any number of threads may call at once.

    Every call is computed by one thread, in float32, so that a feature's bits never vary. Each
    calling thread has a compilation of its own.

    Args:
        network: uint8 (N, 3, H, W) to float32 (N, D).
    """
    silence_reports()
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    compiling = threading.Lock()
    own = threading.local()

    def compute(pictures_NCHW: Tensor) -> Tensor:
        shape = tuple(pictures_NCHW.shape)
        if getattr(own, "shape", None) != shape:
            with compiling:
                network.reshape(list(shape))
                ready = openvino.Core().compile_model(network, "CPU", options)
            own.shape, own.request = shape, ready.create_infer_request()
        result = own.request.infer([pictures_NCHW.contiguous().numpy()])
        return torch.from_numpy(result[0].copy())

    return compute
