"""A backbone's network with its weights, what these are, and which pictures they were made for."""

import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.features.presets import PRESETS
from actionrnn.features.published import (
    FLAG,
    TIMM,
    is_file,
    published_file,
    sha256_of,
    timm,
    timm_settings,
    torchvision,
    torchvision_weights,
    torchvision_weights_of,
)
from actionrnn.features.spec import BackboneConfig, Channels, is_imported, three
from actionrnn.files import sha256_of_text
from actionrnn.video.transform import Interpolation

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# torchvision's own loader renames `denselayer1.norm.1.weight` of its published files too.
_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


@dataclass(frozen=True)
class Preprocessing:
    """The pictures a network was trained on.

    Attributes:
        mean, std: of each channel of pictures scaled to 0..1.
        size: side in pixels.
        interpolation: how they were resized.
    """

    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    size: int = 224
    interpolation: Interpolation = "bilinear"


def build_model(config: BackboneConfig, side: int | None = None) -> nn.Module:
    """The whole network with its weights.

    Args:
        config: which.
        side: of the pictures that it is for, in pixels; None is what the weights were trained on.
            Position embeddings of a transformer are interpolated.

    Raises:
        ActionRNNError: if the network or its weights cannot be had, saying what to do.
    """
    model = _with_weights(config)
    if side is not None and built_for_one_size(config):
        resize = getattr(model, "set_input_size", None)
        if resize is None:
            raise ActionRNNError(
                f"{config.name} takes pictures of {preprocessing_of(config).size} px alone; "
                f"leave out --features.transform.size {side}"
            )
        resize(img_size=(side, side))
    return model


def built_for_one_size(config: BackboneConfig) -> bool:
    """Whether a network of timm takes pictures of that size alone for which it was built."""
    known = timm_settings(config) if config.name.startswith(TIMM) else None
    return known is not None and bool(known.fixed_input_size)


def _with_weights(config: BackboneConfig) -> nn.Module:
    model = _architecture(config)
    path = weights_file(config)
    if path is None:
        return model
    state = read_weights(path)
    if config.name.startswith(TIMM) and not is_file(config.weights):
        made: nn.Module = timm().create_model(
            _timm_name(config), pretrained=True, pretrained_cfg_overlay={"state_dict": state}
        )
        return made
    _load_state(model, state, config)
    # Networks converted from TensorFlow scale their input themselves, if built for their weights.
    if hasattr(model, "transform_input"):
        published = torchvision_weights_of(config.name, sha256_of(path)) is not None
        model.transform_input = published  # type: ignore[assignment]
    return model


def weights_file(config: BackboneConfig) -> Path | None:
    """The file that holds a backbone's weights; None if they are made here.

    Raises:
        ActionRNNError: if there is none, or published weights are not what was published.
    """
    if is_file(config.weights):
        path = Path(config.weights).expanduser()
        if not path.is_file():
            wanted = f" with the SHA-256 {config.sha256}" if config.sha256 else ""
            raise ActionRNNError(
                f"{config.weights}: there is no such file; give the weights{wanted} where they "
                f"are now: {FLAG} FILE"
            )
        return path
    if config.weights == "random" or is_own(config.name) or is_imported(config.name):
        return None
    if not config.name.startswith(TIMM):
        _require_torchvision(config.name)
    return published_file(config)


def is_own(name: str) -> bool:
    """Whether a backbone is made by the user's own code (`module:factory`)."""
    return ":" in name and not name.startswith(TIMM)


def _require_torchvision(name: str) -> None:
    known = torchvision().models.list_models(module=torchvision().models)
    if name not in known:
        raise ActionRNNError(
            f"torchvision has no model {name!r}{near_miss(name, [*known, *PRESETS])}; of timm's "
            f"models the name is timm:NAME, and `actionrnn recipes` lists those with a short name"
        )


@torch.random.fork_rng(devices=[])
def _architecture(config: BackboneConfig) -> nn.Module:
    """The network with weights drawn from the seed."""
    torch.manual_seed(config.seed)
    if is_imported(config.name):
        raise ActionRNNError(
            f"{config.name}: these features were imported; the network that made them is not "
            f"known here, so videos cannot be turned into them"
        )
    if config.name.startswith(TIMM):
        timm_settings(config)  # says what is wrong with the name
        made: nn.Module = timm().create_model(_timm_name(config), pretrained=False)
        return made
    if is_own(config.name):
        return _own_model(config.name)
    _require_torchvision(config.name)
    options = {"init_weights": True} if config.name in ("googlenet", "inception_v3") else {}
    found: nn.Module = torchvision().models.get_model(config.name, weights=None, **options)
    return found


def _timm_name(config: BackboneConfig) -> str:
    """With the tag of its weights, for timm."""
    name, found = config.name.removeprefix(TIMM), timm_settings(config)
    return f"{name.partition('.')[0]}.{found.tag}" if found is not None and found.tag else name


def has_classifier(config: BackboneConfig, model: nn.Module) -> bool:
    """Whether a network ends in one; the output of your own is taken as it is."""
    return not is_own(config.name) and getattr(model, "num_classes", None) != 0


def _own_model(name: str) -> nn.Module:
    module, _, factory = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as error:
        raise ActionRNNError(
            f"--features.backbone.name {name}: {error}; wanted module:factory, with the module "
            f"importable from where the command runs (PYTHONPATH)"
        ) from error
    if not isinstance(made, nn.Module):
        raise ActionRNNError(f"{name} returned {type(made).__name__}, not an nn.Module")
    return made


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or .pth file; nothing in it is ever run.

    Raises:
        ActionRNNError: if it holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = dict(loaded.get("state_dict", loaded))
    except Exception as error:  # unpickling fails in many ways, all of them the file's fault
        raise ActionRNNError(f"{path} cannot be read as weights: {error}") from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ActionRNNError(f"{path} cannot be read as weights: not all it holds are tensors")
    return state


def _load_state(model: nn.Module, state: Mapping[str, Tensor], config: BackboneConfig) -> None:
    renamed = {_DENSENET_KEY.sub(r"\1\2", key): value for key, value in state.items()}
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in renamed]
    foreign = [key for key in renamed if key not in wanted]
    other = [k for k, v in wanted.items() if k in renamed and renamed[k].shape != v.shape]
    try:
        model.load_state_dict(renamed)
    except RuntimeError as error:
        faults = {"missing": missing, "not of this network": foreign, "of another shape": other}
        told = [f"{len(keys)} {what} ({keys[0]!r}, ...)" for what, keys in faults.items() if keys]
        raise ActionRNNError(
            f"{config.weights} does not hold weights of {config.name}: of {len(wanted)} tensors, "
            f"{', '.join(told)}"
        ) from error


def preprocessing_of(config: BackboneConfig) -> Preprocessing:
    """What the weights were trained on: as the settings say, the file, its publisher, or ImageNet.

    Raises:
        ActionRNNError: if the weights cannot be had.
    """
    found = _preprocessing_of_weights(config)
    return replace(found, mean=config.mean or found.mean, std=config.std or found.std)


def _preprocessing_of_weights(config: BackboneConfig) -> Preprocessing:
    path = weights_file(config) if is_file(config.weights) else None
    if path is not None and path.suffix == ".safetensors":
        told = _preprocessing_in(path)
        if told is not None:
            return told
    if config.name.startswith(TIMM):
        known = timm_settings(config)
        if known is None:
            return Preprocessing()
        size, how = known.input_size[-1], _interpolation(known.interpolation)
        return Preprocessing(three(known.mean), three(known.std), size, how)
    if config.weights == "random" or is_own(config.name):
        return Preprocessing()
    if path is None:
        _require_torchvision(config.name)
        published = torchvision_weights(config.name, config.weights)
    else:
        published = torchvision_weights_of(config.name, sha256_of(path))
    if published is None:
        return Preprocessing()
    preset = published.transforms()
    how = _interpolation(preset.interpolation.value)
    return Preprocessing(three(preset.mean), three(preset.std), preset.crop_size[0], how)


def _interpolation(name: str) -> Interpolation:
    """A publisher's word; of those that cannot be had here, bilinear is the nearest."""
    return "bicubic" if name == "bicubic" else "bilinear"


def _preprocessing_in(path: Path) -> Preprocessing | None:
    """What a file says of itself in its metadata; None if nothing."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        if not about.keys() & {"mean", "std", "input_size"}:
            return None
        mean = three(json.loads(about.get("mean", json.dumps(IMAGENET_MEAN))))
        std = three(json.loads(about.get("std", json.dumps(IMAGENET_STD))))
        return Preprocessing(mean, std, int(about.get("input_size", 224)))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ActionRNNError(f"{path} cannot be read as weights: {error}") from error


def weights_identity(config: BackboneConfig) -> str:
    """SHA-256 that changes when a weight does, and with nothing else.

    Of a file, and of published weights: the bytes. Of random ones: everything that determines
    them (network, seed, library versions). Of your own factory: the weights and the source file.
    Where the settings say which it must be (`sha256`), that: `FrozenBackbone` compares.
    """
    return config.sha256 or true_identity(config)


def true_identity(config: BackboneConfig) -> str:
    """The same of the weights that are here, whatever they must be."""
    if is_imported(config.name):
        return sha256_of_text(config.name)
    path = weights_file(config)
    if is_own(config.name):
        return _identity_of_own(config, path)
    if path is not None:
        return sha256_of(path)
    library = timm() if config.name.startswith(TIMM) else torchvision()
    parts = [config.name, str(config.seed), torch.__version__, str(library.__version__)]
    return sha256_of_text("\n".join(parts))


def _identity_of_own(config: BackboneConfig, path: Path | None) -> str:
    digest = hashlib.sha256(config.name.encode())
    if path is None:
        for key, value in _architecture(config).state_dict().items():
            digest.update(key.encode())
            digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    else:
        digest.update(sha256_of(path).encode())
    module = importlib.import_module(config.name.partition(":")[0])
    digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()
