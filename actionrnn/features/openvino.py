"""The backbone on Intel's OpenVINO runtime, in float32 or int8, faster than torch on its CPUs."""

import io
import logging
import tempfile
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
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
        return _library().convert_model(pipeline, example_input=example[:1])


def quantizer_version() -> str:
    """Name and version of what quantises."""
    try:
        return f"nncf {version('nncf')}"
    except PackageNotFoundError as error:
        raise ActionRNNError(
            "--features.runtime openvino-int8: nncf is missing: pip install 'actionrnn[int8]'"
        ) from error


def quantize(pipeline: nn.Module, pictures_NCHW: Tensor) -> bytes:
    """The network in int8, as the content of a safetensors file.

    Args:
        pipeline: uint8 (N, 3, H, W) to float32 (N, D).
        pictures_NCHW: uint8, those that activations are scaled for.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # its progress bars are not ours
        small = nncf.quantize(
            converted(pipeline, pictures_NCHW),
            nncf.Dataset([picture[None].numpy() for picture in pictures_NCHW]),
            preset=nncf.QuantizationPreset.MIXED,  # asymmetric where a layer has no ReLU
            subset_size=len(pictures_NCHW),
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.xml")
        _library().save_model(small, file, compress_to_fp16=False)
        weights = torch.frombuffer(
            bytearray(file.with_suffix(".bin").read_bytes()), dtype=torch.uint8
        )
        about = {"graph": file.read_text(), "quantizer": quantizer_version()}
    content: bytes = save({"weights": weights}, about)
    return content


def read_quantized(path: Path) -> Any:
    """The OpenVINO network of a file that `quantize` gave.

    Raises:
        ActionRNNError: if it is damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            graph, weights = (file.metadata() or {})["graph"], file.get_tensor("weights")
    except (SafetensorError, OSError, KeyError) as error:
        raise ActionRNNError(
            f"{path} is no int8 network ({error}): delete it, and it is made again"
        ) from error
    library = _library()
    return library.Core().read_model(graph.encode(), library.Tensor(weights))


def compiled(network: Any) -> Callable[[Tensor], Tensor]:
    """A function of pictures that any number of threads may call at once.

    Every call is computed by one thread, in float32 where the network is not quantised, so that a
    feature's bits never vary. Each calling thread has a compilation of its own: compiled for two
    threads at once, 2 of 30 int8 networks came out wrong (OpenVINO 2026.4: cosine 0.98), for one
    thread none of 30.

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
