"""Exported graphs are the model: every head, every runtime, any length, one frame at a time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.export.equality import RealClip, measure
from actionrnn.export.formats import METADATA_KEY, Format, open_graph, write
from actionrnn.export.graphs import (
    NOT_YET_EQUAL,
    clip_graph,
    require_exportable,
    step_graph,
    why_no_step,
)
from actionrnn.export.pictures import Pictures
from actionrnn.features.resolve import imported_spec
from actionrnn.models.config import CELLS, HEADS
from actionrnn.training.recognizer import ActionRecognizer
from actionrnn.video.transform import Transform

pytest.importorskip("onnxruntime", reason="needs the extra `export`")
SPEC = imported_spec("import:test")
SETTINGS: list[dict[str, Any]] = [
    *({"cell": cell} for cell in CELLS),
    *(choice.settings for name, choice in HEADS.items() if name not in (*CELLS, *NOT_YET_EQUAL)),
    *({"cell": "gru", "pooling": pooling} for pooling in ("mean", "max", "attention")),
    {"cell": "lstm", "bidirectional": True, "num_layers": 2, "residual": True, "layer_norm": True},
    {"cell": "mingru", "bidirectional": True, "pooling": "max"},
    {"head": "token_probe_ordered", "inputs": "features,delta2"},
    {"cell": "lstm", "num_layers": 2, "inputs": "features,delta,abs_delta3", "input_power": 0.5},
]
# The exporter is slow; what differs between heads is their cells and poolings.
IN_TORCH = [SETTINGS[0], SETTINGS[4], SETTINGS[-3]]


def named(settings: dict[str, Any]) -> str:
    return "-".join(str(value) for value in settings.values())


def predictor_of(settings: dict[str, Any]) -> ActionPredictor:
    recognizer = ActionRecognizer(hidden_size=8, **settings)
    recognizer.build(12, ["a", "b", "c"], num_cells=4)
    recognizer.temperature = 1.7
    torch.manual_seed(0)
    for parameter in recognizer.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return ActionPredictor(recognizer.eval(), SPEC, "cpu")


def clips() -> list[RealClip]:
    torch.manual_seed(1)
    found = [torch.randn(1, frames, 12) for frames in (1, 2, 9, 70)]
    return [RealClip(str(number), clip, clip) for number, clip in enumerate(found)]


def check(settings: dict[str, Any], to: Format, runtimes: tuple[Format, ...], path: Path) -> None:
    predictor = predictor_of(settings)
    recognizer = predictor.recognizer
    graph = clip_graph(recognizer, SPEC, "features", None)
    file = write(graph, {}, to, path)
    # Clips of different lengths together, padded with what is no number.
    batch = torch.full((5, 1, 11, 12), float("nan"))
    lengths = [11, 1, 4, 7, 2]
    for row, length in enumerate(lengths):
        batch[row, :, :length] = torch.randn(1, length, 12)
    for runtime in runtimes:
        run = open_graph(file, runtime)
        equality = measure(graph, run, predictor, clips())
        assert equality.largest_difference < 1e-5
        assert equality.top_class_agreement == 1
        found = run([batch.numpy(), np.array(lengths)])[0]
        for row, length in enumerate(lengths):
            wanted = predictor.probabilities_of(batch[row, :, :length])
            np.testing.assert_allclose(found[row], wanted, atol=1e-5)
    if why_no_step(recognizer.head):
        assert recognizer.head_config.bidirectional
        return
    step = step_graph(recognizer, SPEC, "features", None)
    assert step.output_names == ["probabilities", *(f"new_{n}" for n in step.input_names[1:])]
    file = write(step, {}, to, path)
    for runtime in runtimes:
        found_equality = measure(step, open_graph(file, runtime), predictor, clips())
        assert found_equality.largest_difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=named)
def test_every_head_is_itself_in_onnx_runtime_and_openvino(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    check(settings, "onnx", ("onnx", "openvino"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("settings", IN_TORCH, ids=named)
def test_heads_are_themselves_in_torch_export(settings: dict[str, Any], tmp_path: Path) -> None:
    check(settings, "torch", ("torch",), tmp_path)


@pytest.mark.parametrize("head", NOT_YET_EQUAL)
def test_heads_that_cannot_be_exported_say_why(head: str) -> None:
    recognizer = ActionRecognizer(hidden_size=8, head=head)
    recognizer.build(8, ["a", "b"], num_cells=4)
    with pytest.raises(ActionRNNError, match=f"a {head} head cannot be exported: its graph"):
        require_exportable(recognizer.head)


def test_the_description_is_inside_the_file(tmp_path: Path) -> None:
    import onnxruntime

    graph = clip_graph(predictor_of({"head": "mean_pool"}).recognizer, SPEC, "features", None)
    path = write(graph, {"class_names": ["a", "é"]}, "onnx", tmp_path)
    held = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert json.loads(held[METADATA_KEY]) == {"class_names": ["a", "é"]}


@pytest.mark.parametrize(
    "transform",
    [
        Transform(size=64),
        Transform(size=64, resize="squash"),
        Transform(size=64, resize_to=100, spatial_views=3, flip=True),
        Transform(size=224),
    ],
)
@pytest.mark.parametrize("size", [(240, 320), (320, 240), (64, 64), (50, 31), (333, 517)])
def test_resizing_in_a_graph_gives_the_same_bytes(
    transform: Transform, size: tuple[int, int]
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    wanted = transform(frames).float()
    difference = (Pictures(transform)(torch.from_numpy(frames)) - wanted).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3
