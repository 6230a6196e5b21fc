"""A run as a folder that a stranger can load: safetensors, JSON, and a model card.

Nothing in it is ever unpickled or imported, and it names no path of the machine it was made on.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.export.card import model_card
from actionrnn.features.machine import choose_device
from actionrnn.features.published import is_file
from actionrnn.features.spec import FeatureSpec, is_imported
from actionrnn.features.weights import is_own, read_weights
from actionrnn.files import publish_json, publish_text, published_folder, sha256_of_file
from actionrnn.training.checkpoint import load_recognizer, read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY, ActionRecognizer
from actionrnn.training.run_folder import run_folder_of
from actionrnn.version import __version__

CONFIG, CARD = "config.json", "README.md"
WEIGHTS, BACKBONE = "model.safetensors", "backbone.safetensors"
FORMAT_VERSION = 1


def share(run: Path, folder: Path, name: str | None = None, licence: str | None = None) -> Path:
    """Write a run's best model as a folder in the hub's layout, or nothing.

    Args:
        run: a run folder, or a checkpoint.
        folder: to write; must not be there.
        name: title of the card; `owner/name` where it will be pushed.
        licence: of the head, as an SPDX name.

    Raises:
        ActionRNNError: if the folder is there, or the backbone is one that nobody else can build.
    """
    ckpt_path = run / "checkpoints" / "best.ckpt" if run.is_dir() else run
    checkpoint = read_checkpoint(ckpt_path)
    if folder.exists():
        raise ActionRNNError(f"{folder} is there already: delete it, or name another")
    saved = checkpoint[CHECKPOINT_KEY]
    spec = FeatureSpec.from_dict(saved["feature_spec"])
    _check_shareable(spec)
    recognizer = load_recognizer(checkpoint)
    with published_folder(folder) as made:
        spec = _with_backbone(spec, made)
        tensors = {key: value.contiguous() for key, value in recognizer.head.state_dict().items()}
        save_file(tensors, made / WEIGHTS, {"format": "pt"})
        about = describe(saved, recognizer, spec, ckpt_path, made / WEIGHTS)
        publish_json(made / CONFIG, about)
        card = model_card(run_folder_of(ckpt_path), about, spec, name or folder.name, licence)
        publish_text(made / CARD, card)
        _check_same(recognizer, load_shared(made, "cpu").recognizer)
    return folder


def load_shared(folder: Path, device: str = "auto") -> ActionPredictor:
    """The model of a shared folder; see `actionrnn.load`.

    Raises:
        ActionRNNError: if a file is missing, damaged, of another format, or not of this folder.
    """
    about = read_config(folder)
    try:
        spec = FeatureSpec.from_dict(about["feature_spec"])
        recognizer = ActionRecognizer(**about["model"])
        recognizer.build(about["feature_dim"], about["class_names"], spec.num_cells)
        recognizer.head.load_state_dict(load_file(folder / WEIGHTS))
        recognizer.temperature = float(about["temperature"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise ActionRNNError(
            f"{folder} is not a whole shared model ({type(error).__name__}: {reason}); get it again"
        ) from error
    if sha256_of_file(folder / WEIGHTS) != about["hashes"]["weights_sha256"]:
        raise ActionRNNError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} describes; get both again"
        )
    _check_shareable(spec)
    weights = None
    if is_file(spec.settings.backbone.weights):
        if spec.settings.backbone.weights != BACKBONE:
            raise ActionRNNError(
                f"{folder / CONFIG} names a weights file outside of its folder "
                f"({spec.settings.backbone.weights}): a shared model never does"
            )
        weights = str(folder / BACKBONE)
    chosen = choose_device(device)
    return ActionPredictor(recognizer.eval().to(chosen), spec, chosen, weights)


def read_config(folder: Path) -> dict[str, Any]:
    """What a shared folder says of itself.

    Raises:
        ActionRNNError: if it is no such folder, or of another format.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ActionRNNError(
            f"{folder} holds no shared model ({CONFIG} is missing); a run folder becomes one by "
            f"`actionrnn share RUN FOLDER`, or give its checkpoint: {folder}/checkpoints/best.ckpt"
        )
    try:
        about: dict[str, Any] = json.loads(path.read_text())
        library, found = about["library_name"], about["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ActionRNNError(f"{path} is not of a model of actionrnn, or damaged") from error
    if library != "actionrnn" or found != FORMAT_VERSION:
        raise ActionRNNError(
            f"{path}: {library} format {found}; this version reads actionrnn {FORMAT_VERSION}"
        )
    return about


def describe(
    saved: dict[str, Any],
    recognizer: ActionRecognizer,
    spec: FeatureSpec,
    ckpt_path: Path,
    weights: Path,
) -> dict[str, Any]:
    """`config.json`: all that rebuilds the model, and what it was trained on; no paths."""
    identity = saved["identity"] or {}
    return {
        "library_name": "actionrnn",
        "format": FORMAT_VERSION,
        "actionrnn": __version__,
        "model": recognizer.options(),
        "class_names": recognizer.class_names,
        "feature_dim": recognizer.feature_dim,
        "temperature": recognizer.temperature,
        "feature_spec": spec.to_dict(),
        "dataset": Path(saved["data"]["root"]).name,
        "split": saved["data"]["split"],
        "num_training_clips": len(identity.get("train_clips", ())),
        "num_training_groups": len(identity.get("train_groups", ())),
        "leaked": bool(identity.get("leaked")),
        "hashes": {
            "checkpoint_sha256": sha256_of_file(ckpt_path),
            "weights_sha256": sha256_of_file(weights),
            "split": identity.get("split_hash"),
        },
    }


def _check_shareable(spec: FeatureSpec) -> None:
    name = spec.settings.backbone.name
    if is_own(name) and not is_imported(name):
        raise ActionRNNError(
            f"backbone {name} is code of your own, which a shared model must not run; share "
            f"its features, or use a torchvision or timm network"
        )


def _with_backbone(spec: FeatureSpec, folder: Path) -> FeatureSpec:
    """Lay a backbone that is known by a local file into the folder, as safetensors."""
    backbone = spec.settings.backbone
    if not is_file(backbone.weights):
        return spec
    target = folder / BACKBONE
    weights = Path(backbone.weights)
    if weights.suffix == ".safetensors":
        if not weights.is_file():
            raise ActionRNNError(f"the backbone's weights {weights} are gone; bring them back")
        shutil.copyfile(weights, target)
    else:
        save_file({k: v.contiguous() for k, v in read_weights(weights).items()}, target)
    settings = replace(spec.settings, backbone=replace(backbone, weights=BACKBONE))
    return replace(spec, settings=settings, weights_sha256=sha256_of_file(target))


@torch.inference_mode()
def _check_same(original: ActionRecognizer, loaded: ActionRecognizer) -> None:
    """What was written scores as the original, to the last bit."""
    example = torch.rand(2, 5, original.feature_dim, generator=torch.Generator().manual_seed(0))
    lengths_B = torch.tensor([5, 3])
    wanted, found = (each.head(example, lengths_B).logits_BK for each in (original, loaded))
    if not torch.equal(wanted, found):
        raise ActionRNNError("the shared model does not score as the checkpoint; nothing is kept")
