"""Where a backbone's weights come from, what they are, and which pictures they were made for."""

import hashlib
import importlib
import inspect
import json
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.features.spec import BackboneConfig, is_imported

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FLAG = "--features.backbone.weights"


@dataclass(frozen=True)
class Preprocessing:
    """The pictures a network was trained on.

    Attributes:
        mean, std: of each channel of pictures scaled to 0..1.
        size: side in pixels.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    size: int = 224


def build_model(config: BackboneConfig) -> nn.Module:
    """The whole network with its weights.

    Raises:
        ActionRNNError: if the network or its weights cannot be had, saying what to do.
    """
    if config.weights == "random":
        print(
            f"warning: backbone {config.name} has RANDOM weights (seed {config.seed}); it was "
            f"never trained",
            file=sys.stderr,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _architecture(config)
    if config.weights == "random" or (is_own(config.name) and not is_file(config.weights)):
        return model
    if is_file(config.weights):
        _load_state(model, read_weights(Path(config.weights)), config)
        return model
    if config.name.startswith("timm:"):
        return model
    published = _published(config)
    try:
        state = published.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError) as error:
        raise ActionRNNError(_offline(config, error)) from error
    model.load_state_dict(state)
    # Networks converted from TensorFlow scale their input themselves, if built for their weights.
    if hasattr(model, "transform_input"):
        model.transform_input = True  # type: ignore[assignment]
    return model


def is_file(weights: str) -> bool:
    """Whether `weights` names a file rather than published weights."""
    return weights.endswith((".safetensors", ".pth", ".pt"))


def is_own(name: str) -> bool:
    """Whether a backbone's name is `module:factory`, code of the user's own."""
    return ":" in name and not name.startswith("timm:")


def _offline(config: BackboneConfig, error: Exception) -> str:
    return (
        f"could not download {config.name} weights {config.weights} ({error}). Without a "
        f"network, give a local file: {FLAG} FILE.safetensors; or `random` for untrained weights"
    )


def _architecture(config: BackboneConfig) -> nn.Module:
    if is_imported(config.name):
        raise ActionRNNError(
            f"{config.name}: these features were imported; the network that made them is not "
            f"known here, so videos cannot be turned into them"
        )
    if config.name.startswith("timm:"):
        return _timm_model(config)
    if is_own(config.name):
        return _own_model(config.name)
    known = torchvision.models.list_models(module=torchvision.models)
    if config.name not in known:
        raise ActionRNNError(
            f"torchvision has no model {config.name!r}{near_miss(config.name, known)}"
        )
    options = {"init_weights": True} if config.name in ("googlenet", "inception_v3") else {}
    found: nn.Module = torchvision.models.get_model(config.name, weights=None, **options)
    return found


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ActionRNNError("timm is missing: pip install 'actionrnn[timm]'") from error
    return timm


def _timm_model(config: BackboneConfig) -> nn.Module:
    timm = _timm()
    name = config.name.removeprefix("timm:")
    if not timm.is_model(name):
        known = timm.list_models()
        raise ActionRNNError(f"timm has no model {name!r}{near_miss(name.split('.')[0], known)}")
    local = config.weights == "random" or is_file(config.weights)
    if not local and config.weights != "DEFAULT":
        name = f"{name}.{config.weights}"
    try:
        model: nn.Module = timm.create_model(name, pretrained=not local)
    except Exception as error:
        if local:
            raise
        raise ActionRNNError(_offline(config, error)) from error
    return model


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


def _published(config: BackboneConfig) -> Any:
    if config.name not in torchvision.models.list_models(module=torchvision.models):
        _architecture(config)  # which says so, with near misses
    known = torchvision.models.get_model_weights(config.name)
    names = [*known.__members__, "DEFAULT"]
    if config.weights not in names:
        raise ActionRNNError(
            f"{config.name} has no weights {config.weights!r}{near_miss(config.weights, names)}; "
            f"known: {', '.join(names)}, random, or a .safetensors or .pth file"
        )
    return known[config.weights] if config.weights != "DEFAULT" else known.DEFAULT


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or .pth file; nothing in it is ever run.

    Raises:
        ActionRNNError: if it is absent or holds anything but tensors.
    """
    require_file(path)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return dict(loaded.get("state_dict", loaded))
    except Exception as error:  # unpickling fails in many ways, all of them the file's fault
        raise ActionRNNError(f"{path} cannot be read as weights: {error}") from error


def _load_state(model: nn.Module, state: dict[str, Tensor], config: BackboneConfig) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ActionRNNError(
            f"{config.weights} does not hold weights of {config.name}: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


def require_file(path: Path) -> None:
    """Refuse a weights file that is not there."""
    if not path.is_file():
        raise ActionRNNError(f"{FLAG} {path}: there is no such file")


def preprocessing_of(config: BackboneConfig) -> Preprocessing:
    """What the weights were trained on; ImageNet's usual where they do not say."""
    if config.weights.endswith(".safetensors"):
        return _preprocessing_of_file(Path(config.weights))
    if config.name.startswith("timm:"):
        known = _timm().get_pretrained_cfg(config.name.removeprefix("timm:"))
        return Preprocessing(tuple(known.mean), tuple(known.std), known.input_size[-1])
    if config.weights != "random" and ":" not in config.name and not is_file(config.weights):
        preset = _published(config).transforms()
        return Preprocessing(tuple(preset.mean), tuple(preset.std), preset.crop_size[0])
    return Preprocessing()


def _preprocessing_of_file(path: Path) -> Preprocessing:
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        mean = tuple(json.loads(about.get("mean", json.dumps(IMAGENET_MEAN))))
        std = tuple(json.loads(about.get("std", json.dumps(IMAGENET_STD))))
        return Preprocessing(mean, std, int(about.get("input_size", 224)))
    except (SafetensorError, ValueError, TypeError) as error:
        raise ActionRNNError(f"{path} cannot be read as weights: {error}") from error


def weights_identity(config: BackboneConfig) -> str:
    """SHA-256 that changes when a weight does, in a moment.

    Of a file: its bytes. Of published weights: their address, which holds their hash. Of random
    ones: everything that determines them (network, seed, library versions). Of your own factory:
    the weights it makes and the file it stands in.
    """
    if is_imported(config.name):
        return hashlib.sha256(config.name.encode()).hexdigest()
    if is_file(config.weights):
        require_file(Path(config.weights))
        with open(config.weights, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if is_own(config.name):
        return _identity_of_own(config)
    is_timm = config.name.startswith("timm:")
    version = str((_timm() if is_timm else torchvision).__version__)
    if config.weights == "random":
        parts = [config.name, str(config.seed), torch.__version__, version]
    elif is_timm:
        parts = [config.name, config.weights, version]
    else:
        parts = [str(_published(config).url)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _identity_of_own(config: BackboneConfig) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _architecture(config)
    digest = hashlib.sha256(config.name.encode())
    module = importlib.import_module(config.name.partition(":")[0])
    digest.update(inspect.getsource(module).encode())
    for key, value in model.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
