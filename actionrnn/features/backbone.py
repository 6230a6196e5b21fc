"""The frozen backbone: pictures in, features out, not a bit of it ever changes."""

import hashlib
import importlib
import json
import sys
import urllib.error
from pathlib import Path

import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse
from torchvision.models.feature_extraction import create_feature_extractor

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.features.spec import BackboneConfig

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Statistics = tuple[tuple[float, ...], tuple[float, ...]]


class FrozenBackbone:
    """A network cut at its last feature map and pooled, in eval and inference mode.

    Not an nn.Module on purpose: as part of one, `train()` would reach its BatchNorm and
    checkpoints would carry it. Convolutions have their BatchNorm folded in.

    Attributes:
        feature_dim: D.
        weights_sha256: identity of the weights, see `weights_identity`.
        mean, std: per-channel normalisation of pictures scaled to 0..1.

    Raises:
        ActionRNNError: if the network, its weights or the layer cannot be had.
    """

    def __init__(self, config: BackboneConfig, device: str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.weights_sha256 = weights_identity(config)
        model = build_model(config).eval().requires_grad_(False)
        self.mean, self.std = statistics_of(config)
        network = self._cut(model).to(self.device)
        self._network = network.to(memory_format=torch.channels_last)
        self._mean = torch.tensor(self.mean, device=self.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(self.std, device=self.device).view(1, 3, 1, 1) * 255
        self.feature_dim = int(self(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape[1])

    def _cut(self, model: nn.Module) -> nn.Module:
        layer = self.config.layer or last_feature_map(model)
        known = [name for name, _ in model.named_modules()]
        if layer not in known:
            raise ActionRNNError(
                f"{self.config.name} has no layer {layer!r}{near_miss(layer, known)}"
            )
        extractor = create_feature_extractor(model, {layer: "map"}).eval()
        # As a plain graph: the extractor keeps a second one for training, which fuse would trace.
        return fuse(GraphModule(extractor, extractor.graph).eval()).eval()

    @torch.inference_mode()
    def __call__(self, pictures_NCHW: Tensor) -> Tensor:
        """Features of pictures.

        Args:
            pictures_NCHW: uint8 (N, 3, H, W), RGB.

        Returns:
            float32 (N, D) on the CPU.
        """
        pictures = pictures_NCHW.to(self.device, non_blocking=True)
        pictures = pictures.to(torch.float32, memory_format=torch.channels_last)
        pictures = (pictures - self._mean) / self._std
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            feature_map: Tensor = self._network(pictures)["map"]
        if feature_map.ndim == 4:
            pooled = nn.functional.adaptive_avg_pool2d(feature_map.float(), self.config.grid)
            return pooled.flatten(1).cpu()
        if feature_map.ndim == 2 and self.config.grid == 1:
            return feature_map.float().cpu()
        raise ActionRNNError(
            f"layer {self.config.layer} of {self.config.name} gives a tensor of shape "
            f"{tuple(feature_map.shape)}, which cannot be pooled on a {self.config.grid}x"
            f"{self.config.grid} grid; choose another with --features.backbone.layer"
        )


def last_feature_map(model: nn.Module) -> str:
    """Name of the last top-level part whose output is a picture (N, C, H>1, W>1).

    Raises:
        ActionRNNError: if there is none (a transformer, say): the layer must be named.
    """
    found: list[str] = []

    def note(name: str) -> None:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
                found.append(name)

        handles.append(dict(model.named_children())[name].register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, _ in model.named_children():
        note(name)
    with torch.inference_mode():
        model(torch.zeros(1, 3, 224, 224))
    for handle in handles:
        handle.remove()
    if not found:
        raise ActionRNNError("the network has no feature map; name one: --features.backbone.layer")
    return found[-1]


def build_model(config: BackboneConfig) -> nn.Module:
    """The whole network with its weights."""
    if config.weights == "random":
        print(
            f"backbone {config.name}: RANDOM weights (seed {config.seed}), never trained",
            file=sys.stderr,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _architecture(config)
    if config.weights == "random":
        return model
    if is_file(config.weights):
        state = _read_weights(Path(config.weights))
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ActionRNNError(
                f"{config.weights} does not hold weights of {config.name}: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from error
        return model
    return _download(config, model)


def is_file(weights: str) -> bool:
    """Whether `weights` names a file rather than published weights."""
    return weights.endswith((".safetensors", ".pth", ".pt"))


def _architecture(config: BackboneConfig) -> nn.Module:
    if config.name.startswith("timm:"):
        try:
            import timm
        except ImportError as error:
            raise ActionRNNError("timm is missing: pip install 'actionrnn[timm]'") from error
        pretrained = config.weights != "random" and not is_file(config.weights)
        model: nn.Module = timm.create_model(
            config.name.removeprefix("timm:"), pretrained=pretrained, num_classes=0
        )
        return model
    if ":" in config.name:
        module, _, factory = config.name.partition(":")
        own: nn.Module = getattr(importlib.import_module(module), factory)()
        return own
    known = torchvision.models.list_models(module=torchvision.models)
    if config.name not in known:
        raise ActionRNNError(
            f"torchvision has no model {config.name!r}{near_miss(config.name, known)}"
        )
    options = {"init_weights": True} if config.name in ("googlenet", "inception_v3") else {}
    found: nn.Module = torchvision.models.get_model(config.name, weights=None, **options)
    return found


def _download(config: BackboneConfig, model: nn.Module) -> nn.Module:
    if ":" in config.name:
        return model
    published = _published(config)
    try:
        model.load_state_dict(published.get_state_dict(progress=True, check_hash=True))
    except (urllib.error.URLError, OSError) as error:
        raise ActionRNNError(
            f"could not download {config.name} weights {config.weights} ({error}). Without a "
            f"network, give a local file: --features.backbone.weights FILE.safetensors; or "
            f"`random` for untrained weights"
        ) from error
    return model


def _published(config: BackboneConfig) -> torchvision.models.Weights:
    known = torchvision.models.get_model_weights(config.name)
    names = [*known.__members__, "DEFAULT"]
    if config.weights not in names:
        raise ActionRNNError(
            f"{config.name} has no weights {config.weights!r}{near_miss(config.weights, names)}; "
            f"known: {', '.join(names)}, random, or a .safetensors or .pth file"
        )
    return known[config.weights] if config.weights != "DEFAULT" else known.DEFAULT


def _read_weights(path: Path) -> dict[str, Tensor]:
    _require_file(path)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return dict(loaded.get("state_dict", loaded))
    except Exception as error:
        raise ActionRNNError(f"{path} cannot be read as weights: {error}") from error


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ActionRNNError(f"--features.backbone.weights {path}: there is no such file")


def statistics_of(config: BackboneConfig) -> Statistics:
    """Mean and standard deviation that belong to the weights; ImageNet's where they say none."""
    if config.weights.endswith(".safetensors"):
        with safe_open(config.weights, framework="pt") as file:
            about = file.metadata() or {}
        if "mean" in about and "std" in about:
            return tuple(json.loads(about["mean"])), tuple(json.loads(about["std"]))
    elif config.weights != "random" and ":" not in config.name and not is_file(config.weights):
        preset = _published(config).transforms()
        return tuple(preset.mean), tuple(preset.std)
    return IMAGENET_MEAN, IMAGENET_STD


def weights_identity(config: BackboneConfig) -> str:
    """SHA-256 that changes when a weight does, without loading the network.

    Of a file: its bytes. Of published weights: their address, which holds their hash. Of random
    ones: everything that determines them (network, seed, library versions).
    """
    digest = hashlib.sha256()
    if is_file(config.weights):
        _require_file(Path(config.weights))
        with open(config.weights, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if config.weights == "random":
        parts = [config.name, str(config.seed), torch.__version__, torchvision.__version__]
    elif ":" in config.name:
        parts = [config.name, config.weights]
    else:
        parts = [str(_published(config).url)]
    digest.update("\n".join(parts).encode())
    return digest.hexdigest()
