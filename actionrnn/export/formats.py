"""The formats a graph can be written in, each read back by the runtime it is meant for."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim, ExportedProgram

from actionrnn.errors import ActionRNNError
from actionrnn.export.graphs import Traceable
from actionrnn.process import silence_reports

Format = Literal["onnx", "openvino", "torch"]
Array = NDArray[Any]
Run = Callable[[Sequence[Array]], list[Array]]
ENDINGS: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
METADATA_KEY = "actionrnn"


def write(graph: Traceable, description: dict[str, Any], to: Format, folder: Path) -> Path:
    """Write one graph as `folder/<kind>.<ending>`, its description inside.

    Args:
        graph: what to write.
        description: plain data, kept under the key `actionrnn` (ONNX metadata, OpenVINO runtime
            information, an extra file of torch's archive).
        to: the format.
        folder: there already.

    Raises:
        ActionRNNError: if a package is missing, or the graph cannot be traced, saying why.
    """
    path = folder / f"{graph.kind}{ENDINGS[to]}"
    text = json.dumps(description)
    with _quiet(), torch.no_grad():
        program = _traced(graph)
        if to == "torch":
            torch.export.save(program, path, extra_files={METADATA_KEY: text})
            return path
        onnx_path = path.with_suffix(".onnx")
        _write_onnx(program, graph, text, onnx_path)
    if to == "openvino":
        openvino = library("openvino")
        network = openvino.Core().read_model(onnx_path)
        network.set_rt_info(text, METADATA_KEY)
        openvino.save_model(network, path, compress_to_fp16=False)
        onnx_path.unlink()
    return path


def open_graph(path: Path, to: Format) -> Run:
    """The function of a written graph: arrays in the order of its inputs to arrays."""
    if to == "onnx":
        session = library("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        return lambda values: session.run(None, dict(zip(names, values, strict=True)))
    if to == "openvino":
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        network = library("openvino").Core().compile_model(path, "CPU", options)
        return lambda values: [found.copy() for found in network(list(values)).to_tuple()]
    module = torch.export.load(path).module()

    def run(values: Sequence[Array]) -> list[Array]:
        with torch.no_grad():
            found = module(*(torch.from_numpy(np.ascontiguousarray(value)) for value in values))
        return [each.numpy() for each in ([found] if isinstance(found, torch.Tensor) else found)]

    return run


def _traced(graph: Traceable) -> ExportedProgram:
    dynamic: list[Any] = [dict.fromkeys(sizes, Dim.DYNAMIC) for sizes in graph.dynamic]
    if len(dynamic) > 1 and graph.kind == "step":  # the state is one argument, a tuple
        dynamic = [dynamic[0], tuple(dynamic[1:])]
    try:
        return torch.export.export(
            graph.module, graph.examples, dynamic_shapes=tuple(dynamic), strict=False
        )
    except Exception as error:  # whatever a network of the user's makes the tracer raise
        raise _cannot(graph, error) from error


def _write_onnx(program: ExportedProgram, graph: Traceable, text: str, path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        library(package)
    try:
        made = torch.onnx.export(
            program,
            input_names=graph.input_names,
            output_names=graph.output_names,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    except Exception as error:
        raise _cannot(graph, error) from error
    assert made is not None
    made.model.metadata_props[METADATA_KEY] = text
    made.save(path)


def _cannot(graph: Traceable, error: Exception) -> ActionRNNError:
    return ActionRNNError(
        f"the {graph.kind} graph cannot be exported ({type(error).__name__}: "
        f"{str(error).strip().splitlines()[0][:300]}). If the backbone is the reason: "
        f"--inputs features exports the head alone"
    )


def library(name: str, extra: str = "export") -> Any:
    """A package that not everybody has.

    Raises:
        ActionRNNError: if it is missing, with the extra that brings it.
    """
    silence_reports()
    try:
        return __import__(name)
    except ImportError as error:
        message = f"{name} is missing: pip install 'actionrnn[{extra}]'"
        raise ActionRNNError(message) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn about their own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
