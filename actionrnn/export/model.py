"""`actionrnn export`: a folder with graphs, their report, and what runs them without torch."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.export.equality import Equality, measure, real_clips
from actionrnn.export.formats import Format, open_graph, write
from actionrnn.export.graphs import (
    Inputs,
    Traceable,
    clip_graph,
    step_graph,
    why_no_step,
)
from actionrnn.files import publish_json, published_folder, sha256_of_file
from actionrnn.places import place
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.run_folder import run_folder_of
from actionrnn.version import __version__

REPORT_NAME = "export.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and how near it must come.

    Args:
        to: `onnx` (also runs on OpenVINO), `openvino` (an .xml of its own), `torch` (a .pt2 for
            torch.export.load).
        inputs: `frames` (uint8, as decoded, of any size: resizing, normalising and the backbone
            are inside), `pictures` (uint8, resized already), `features` (the head alone).
        output: the new folder; null is RUN/export-FORMAT.
        num_clips: test clips to measure equality on.
        videos: files to measure it on instead.
        root: another place of the run's data.
        tolerance: largest difference of a probability that is let pass.
    """

    to: Format = "onnx"
    inputs: Inputs = "frames"
    output: Path | None = None
    num_clips: int = 8
    videos: list[str] = field(default_factory=list)
    root: Path | None = None
    tolerance: float = 1e-3


def export_model(ckpt_path: Path, options: ExportOptions) -> Path:
    """Write the graphs of a checkpoint, measured on real clips, or nothing at all.

    Returns:
        The folder: `clip` and (where the head can go frame by frame) `step` graphs, `export.json`,
        and `run.py` beside ONNX graphs.

    Raises:
        ActionRNNError: if the folder is there, a package is missing, a graph cannot be exported
            or is not the model it was made from.
    """
    output = options.output or run_folder_of(ckpt_path) / f"export-{options.to}"
    if output.exists():
        raise ActionRNNError(f"{output} is there already: delete it, or give another --output")
    predictor = ActionPredictor.load(ckpt_path, device="cpu")
    data = read_checkpoint(ckpt_path)[CHECKPOINT_KEY]["data"]
    pipeline = None if options.inputs == "features" else predictor.backbone.pipeline
    made = (predictor.recognizer, predictor.spec, options.inputs, pipeline)
    no_step = why_no_step(predictor.recognizer.head)
    graphs = [clip_graph(*made)] + ([] if no_step else [step_graph(*made)])
    clips = list(
        real_clips(
            predictor,
            ckpt_path,
            options.root or place(data["root"]),
            data["split"],
            options.videos,
            options.inputs,
            options.num_clips,
        )
    )
    about = describe(predictor, ckpt_path, options.inputs)
    report = {**about, "format": options.to, "tolerance": options.tolerance, "graphs": {}}
    report["measured_on"] = [clip.name for clip in clips]
    if no_step:
        report["no_step"] = no_step
    with published_folder(output) as folder:
        for graph in graphs:
            path = write(graph, {**about, **_interface(graph)}, options.to, folder)
            equality = measure(graph, open_graph(path, options.to), predictor, clips)
            check(graph, equality, options.tolerance)
            report["graphs"][graph.kind] = {
                "file": path.name,
                "sha256": sha256_of_file(path),
                **_interface(graph),
                **asdict(equality),
            }
        publish_json(folder / REPORT_NAME, report)
        if options.to == "onnx":
            shutil.copyfile(Path(__file__).with_name("run.py"), folder / "run.py")
    return output


def check(graph: Traceable, equality: Equality, tolerance: float) -> None:
    """Refuse a graph that is not the model.

    Raises:
        ActionRNNError: with the figures.
    """
    if not equality.largest_difference <= tolerance:  # a NaN is no equality either
        raise ActionRNNError(
            f"the exported {graph.kind} graph is not the model: {equality}; allowed is a "
            f"difference of {tolerance:g}. Nothing was written. (Features computed in bfloat16 or "
            f"int8 differ from a graph's float32: --inputs features exports the head alone; "
            f"--tolerance lets more pass.)"
        )


def describe(predictor: ActionPredictor, ckpt_path: Path, inputs: Inputs) -> dict[str, Any]:
    """What a graph must be told apart from its numbers: classes, features, hashes."""
    recognizer = predictor.recognizer
    identity = recognizer.identity or {}
    backbone = None if inputs == "features" else predictor.backbone
    return {
        "version": FORMAT_VERSION,
        "actionrnn": __version__,
        "inputs": inputs,
        "class_names": recognizer.class_names,
        "temperature": recognizer.temperature,
        "model": recognizer.head_config.to_dict(),
        "feature_dim": recognizer.feature_dim,
        "feature_spec": json.loads(json.dumps(predictor.spec.to_dict())),
        "picture_mean": None if backbone is None else list(backbone.mean),
        "picture_std": None if backbone is None else list(backbone.std),
        "leaked": bool(identity.get("leaked")),
        "hashes": {
            "checkpoint_sha256": sha256_of_file(ckpt_path),
            "backbone_weights_sha256": predictor.spec.weights_sha256,
            "features": predictor.spec.fingerprint,
            "split": identity.get("split_hash"),
        },
    }


def _interface(graph: Traceable) -> dict[str, Any]:
    """Names of inputs and outputs; of a step, its state before the first frame."""
    about: dict[str, Any] = {
        "graph": graph.kind,
        "input_names": graph.input_names,
        "output_names": graph.output_names,
    }
    if graph.kind == "step":
        streams = len(graph.examples[0])
        about["state"] = [
            {
                "name": name,
                "rows_per_stream": len(example) // streams,
                "size": example.shape[1],
                # JSON has no infinity; a maximum begins below every number.
                "initial": max(float(example.flatten()[0]), -3e38),
            }
            for name, example in zip(graph.input_names[1:], graph.examples[1:], strict=True)
        ]
    return about
