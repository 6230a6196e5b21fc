"""The backbone on Intel's OpenVINO runtime, about twice as fast as torch on Intel CPUs."""

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


def compile_pipeline(
    pipeline: nn.Module, example: Tensor, num_threads: int
) -> Callable[[Tensor], Tensor]:
    """A function like `pipeline` that any of `num_threads` threads may call at once.

    Every call is computed in float32 by one thread, so that a feature's bits never vary.

    Args:
        pipeline: uint8 (N, 3, H, W) to float32 (N, D).
        example: an input; its N is the only one that is ever given.
        num_threads: of the callers.
    """
    library = _library()
    with torch.inference_mode():
        converted = library.convert_model(pipeline, example_input=example[:1])
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": num_threads,
        "NUM_STREAMS": num_threads,
        "ENABLE_CPU_PINNING": False,
    }
    compiled: dict[tuple[int, ...], Any] = {}
    compiling = threading.Lock()
    own = threading.local()

    def compute(pictures_NCHW: Tensor) -> Tensor:
        shape = tuple(pictures_NCHW.shape)
        with compiling:
            if shape not in compiled:
                converted.reshape(list(shape))
                compiled[shape] = library.Core().compile_model(converted, "CPU", options)
        if getattr(own, "shape", None) != shape:
            own.shape, own.request = shape, compiled[shape].create_infer_request()
        result = own.request.infer([pictures_NCHW.contiguous().numpy()])
        return torch.from_numpy(result[0].copy())

    return compute
