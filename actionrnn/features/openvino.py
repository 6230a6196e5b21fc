"""The backbone on Intel's OpenVINO runtime, in float32, faster than torch on its CPUs."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError


def _library() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise ActionRNNError(
            "--features.runtime openvino: it is missing: pip install 'actionrnn[openvino]'"
        ) from error
    return openvino


def runtime_version() -> str:
    """Name and version; another may give other features."""
    return f"openvino {_library().__version__.partition('-')[0]}"


def converted(pipeline: nn.Module, example: Tensor) -> Any:
    """An OpenVINO network like `pipeline`, uint8 (N, 3, H, W) to float32 (N, D)."""
    with torch.inference_mode():
        return _library().convert_model(pipeline, example_input=example)


def compiled(network: Any) -> Callable[[Tensor], Tensor]:
    """A function of pictures that any number of threads may call at once.

    Every call is computed by one thread, in float32, so that a feature's bits never vary. Each
    calling thread has a compilation of its own.

    Args:
        network: uint8 (N, 3, H, W) to float32 (N, D).
    """
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
                ready = _library().Core().compile_model(network, "CPU", options)
            own.shape, own.request = shape, ready.create_infer_request()
        result = own.request.infer([pictures_NCHW.contiguous().numpy()])
        return torch.from_numpy(result[0].copy())

    return compute
