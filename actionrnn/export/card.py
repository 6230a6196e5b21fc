"""The model card of a shared run: what it is, how good, how that is known, what it cannot do."""

import json
from pathlib import Path
from typing import Any

from actionrnn.features.spec import FeatureSpec, is_imported
from actionrnn.version import __version__

FIGURES = {
    "accuracy": "clip accuracy (top-1)",
    "macro_accuracy": "macro accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "ece": "calibration error",
}
_TIMM_LICENCE = "see the card of the timm weights; they differ from model to model"
_TORCHVISION_LICENCE = (
    "torchvision's code is BSD-3-Clause; its weights were trained on ImageNet, whose images are "
    "for non-commercial research: https://github.com/pytorch/vision#pre-trained-model-license"
)


def model_card(
    run: Path, about: dict[str, Any], spec: FeatureSpec, name: str, licence: str | None
) -> str:
    """A README.md with the hub's front matter, from a run's own files.

    Args:
        run: the run folder; `metrics.json`, `fit.json` and `diagnostics/order.json` are read
            where they are.
        about: what `config.json` holds.
        spec: of the features.
        name: title.
        licence: of the trained head, as an SPDX name; None is not chosen yet.
    """
    metrics = _json(run / "metrics.json")
    fitted = _json(run / "fit.json")
    order = _json(run / "diagnostics" / "order.json")
    leaked = bool(about["leaked"] or metrics.get("leaked") or fitted.get("leaked"))
    parts = [
        _front_matter(name, licence, metrics, leaked),
        f"# {name}",
        _what(about, spec, fitted),
        "**LEAKED: clips, or recordings, of the test set were trained on. The figures below are "
        "too good and say nothing about new videos.**"
        if leaked
        else "",
        _figures(metrics),
        _controls(metrics, order, len(about["class_names"])),
        _limits(about, spec, metrics),
        _how_to_use(name),
        _licences(spec, licence),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _front_matter(name: str, licence: str | None, metrics: dict[str, Any], leaked: bool) -> str:
    lines = [
        "---",
        "library_name: actionrnn",
        "pipeline_tag: video-classification",
        f"license: {licence or 'other'}",
        "tags: [video-classification, action-recognition, actionrnn]",
    ]
    if "accuracy" in metrics and not leaked:
        lines += [
            "model-index:",
            f"- name: {json.dumps(name)}",
            "  results:",
            "  - task: {type: video-classification}",
            "    dataset: {name: see below, type: other}",
            "    metrics:",
            f"    - {{type: accuracy, value: {metrics['accuracy']:.4f}}}",
        ]
    return "\n".join([*lines, "---"])


def _what(about: dict[str, Any], spec: FeatureSpec, fitted: dict[str, Any]) -> str:
    model, backbone = about["model"], spec.settings.backbone
    head = model["cell"] if model["head"] == "recurrent" else model["head"]
    classes = ", ".join(about["class_names"][:30])
    more = len(about["class_names"]) - 30
    lines = [
        f"A video in, the probabilities of {len(about['class_names'])} actions out: frames become "
        f"features of a frozen {backbone.name} (weights `{backbone.weights}`), and a `{head}` head "
        f"judges them. Made with actionrnn {__version__}.",
        f"- classes: {classes}" + (f" and {more} more" if more > 0 else ""),
        f"- trained on: {about['dataset']}, {about['split']} (hash `{about['hashes']['split']}`), "
        f"{about['num_training_clips']} clips of {about['num_training_groups'] or 'unnamed'} "
        f"recordings",
        f"- frames: {spec.settings.sampling.mode}, {spec.settings.sampling.num_frames} a view, "
        f"{spec.settings.num_views} views; pictures of {spec.settings.transform.side} px",
    ]
    if fitted:
        lines.append(
            f"- head: {fitted.get('num_parameters', 0):,} parameters, {fitted.get('epochs')} "
            f"epochs, seed {fitted.get('seed')}"
        )
    return "\n".join(lines)


def _figures(metrics: dict[str, Any]) -> str:
    if not metrics:
        return "## Figures\n\nThis run was never tested."
    unit = metrics.get("bootstrap", {}).get("unit", "clip")
    lines = [
        "## Figures",
        "",
        f"{metrics.get('subset', 'test')} split, {int(metrics['num_clips'])} clips, "
        f"{int(metrics.get('num_unreadable', 0))} unreadable (they count as wrong); 95 % intervals "
        f"over {unit}s.",
        "",
        "| figure | value | interval |",
        "|---|---|---|",
    ]
    for key, title in FIGURES.items():
        if metrics.get(key) is not None:
            bounds = metrics.get("intervals", {}).get(key)
            shown = f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "not measured"
            lines.append(f"| {title} | {metrics[key]:.3f} | {shown} |")
    return "\n".join(lines)


def _controls(metrics: dict[str, Any], order: dict[str, Any], num_classes: int) -> str:
    lines = ["## Controls", "", f"- guessing: macro accuracy {1 / num_classes:.3f}"]
    if clips := [each["clips"] for each in metrics.get("per_class", [])]:
        lines.append(f"- always the largest class: accuracy {max(clips) / sum(clips):.3f}")
    conditions = order.get("conditions", [])
    for each in conditions:
        bounds = each["interval"]
        shown = f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""
        lines.append(f"- {each['title']}: macro accuracy {each['macro_accuracy']:.3f}{shown}")
    if order.get("verdict"):
        lines.append(f"\n{order['verdict']}")
    if not conditions:
        lines.append("- whether the order of the frames is used was not asked (`diagnose order`)")
    return "\n".join(lines)


def _limits(about: dict[str, Any], spec: FeatureSpec, metrics: dict[str, Any]) -> str:
    groups = metrics.get("num_groups")
    lines = ["## Limits", "", "- It knows the classes above and names one of them for any video."]
    if groups and groups < 20:
        lines.append(f"- Tested on {int(groups)} recordings: the intervals are wide, and rough.")
    if spec.settings.backbone.weights == "random":
        lines.append("- The backbone's weights are random: a test of the pipeline, not a model.")
    if about["model"]["bidirectional"] and about["model"]["head"] == "recurrent":
        lines.append("- It reads clips from both ends and cannot judge a running stream.")
    lines.append("- The backbone sees single pictures; fine and fast motion is beyond it.")
    return "\n".join(lines)


def _how_to_use(name: str) -> str:
    address = f"hf:{name}" if "/" in name else "THIS_FOLDER"
    return f"""## How to use

```python
import actionrnn  # pip install 'actionrnn[share]'

model = actionrnn.load("{address}")
for label, probability in model.predict("clip.mp4", top_k=3):
    print(label, probability)
```

Weights are safetensors and settings JSON: loading runs no code of this repository."""


def _licences(spec: FeatureSpec, licence: str | None) -> str:
    name, weights = spec.settings.backbone.name, spec.settings.backbone.weights
    if weights == "random" or is_imported(name):
        said = "none: its weights are not part of this"
    elif weights.endswith(".safetensors"):
        said = "of the file that was given for it, which is included; ask who gave it"
    else:
        said = _TIMM_LICENCE if name.startswith("timm:") else _TORCHVISION_LICENCE
    head = licence or "not chosen yet: write it here and above (`share --licence NAME`)"
    return f"## Licences\n\n- head: {head}\n- backbone {name}: {said}"
