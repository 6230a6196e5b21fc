"""FeatureSpec: everything that makes a feature what it is, and the fingerprint that names it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

from actionrnn.files import sha256_of_text
from actionrnn.video.reader import ReaderName
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

Channels = tuple[float, float, float]
Runtime = Literal["auto", "torch", "torch-bf16", "openvino"]
POOLED = "pooled"
TOKEN_GRID = 7
"""Cells a side that token layers are pooled over, where no grid is given."""
_TOKENS = re.compile(r"tokens(?P<class>\+class)?(:(?P<layers>.+))?")


class TokenLayer(NamedTuple):
    """A token layer (`tokens+class:5,8`), taken apart.

    Attributes:
        layers: numbers or names; none is the last.
        has_class: whether the class token is kept as one more place.
    """

    layers: tuple[str, ...]
    has_class: bool


@dataclass(frozen=True)
class BackboneConfig:
    """Which network, which weights, which layer.

    Args:
        name: a preset (`dinov2_small`; `actionrnn recipes` lists them), a torchvision
            classification model (`resnet18`), `timm:NAME` (needs
            `pip install 'actionrnn[timm]'`), `module:factory` of your own that returns an
            nn.Module of images (N, 3, H, W) whose output is the feature, or `import:NAME` for
            features made elsewhere.
        weights: a torchvision weights name (`DEFAULT`, `IMAGENET1K_V1`), a local .safetensors or
            .pth file, or `random` (untrained: for tests and the demo).
        layer: `pooled` is what the classifier sees: its map, averaged, or a transformer's class
            token; `tokens` keeps where things are: patches of a transformer or places of the last
            map; `tokens+class` with the class token as one more place; `tokens:5,8,11` of several
            layers, one above the other (blocks of a timm transformer and stages of a CNN are
            counted from 0, torchvision's layers named: `tokens:layer3,layer4`); or the name of
            a module whose output is pooled (`layer3`).
        grid: pool over a grid x grid of cells; D grows by grid^2. null is 1, the whole picture,
            and of tokens 7.
        seed: draws the weights when they are `random`.
        mean, std: of the red, green and blue of the pictures that the weights were trained on,
            scaled to 0..1; null is what the weights' publisher or file says, else ImageNet's.
        sha256: which weights they must be, wherever they lie; null takes them as they are. A
            checkpoint gives the SHA-256 of those it was trained on.

    Raises:
        ValueError: if `grid` is not positive.
    """

    name: str = "mobilenet_v2"
    weights: str = "DEFAULT"
    layer: str = POOLED
    grid: int | None = None
    seed: int = 0
    mean: Channels | None = None
    std: Channels | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.grid is not None and self.grid < 1:
            raise ValueError(f"features.backbone.grid {self.grid}: must be at least 1")

    @property
    def tokens(self) -> TokenLayer | None:
        """What `layer` says of tokens, if it does."""
        found = _TOKENS.fullmatch(self.layer)
        if found is None:
            return None
        layers = tuple(each.strip() for each in (found["layers"] or "").split(",") if each.strip())
        return TokenLayer(layers, found["class"] is not None)

    @property
    def cells_a_side(self) -> int:
        """Of the grid."""
        return self.grid or (TOKEN_GRID if self.tokens else 1)

    @property
    def num_cells(self) -> int:
        """Places of a picture, G: the cells of the grid, and the class token if it is kept."""
        return self.cells_a_side**2 + (self.tokens is not None and self.tokens.has_class)


@dataclass(frozen=True)
class FeatureSettings:
    """What the user chooses about features.

    Args:
        backbone: the frozen network.
        sampling: which frames.
        transform: which pixels.
        reader: what decodes; `auto` is PyAV. All give the same frames; decord and torchcodec
            refuse what they would not read exactly. `torchcodec-cuda` decodes H.264 and HEVC on
            a GPU, which pays for HD, to pixels whose last bits differ.
        dtype: how features are stored; `auto` is float16 for features of several places, which
            are many, else float32.
        runtime: what computes them: `torch` (float32), `torch-bf16`, `openvino` (faster on CPUs,
            with features whose cosine with torch's is above 0.99999; needs
            `pip install 'actionrnn[openvino]'`); `auto` is bfloat16 on a GPU, and on a CPU what
            made the features that are there, else for 2,000 pictures and more OpenVINO where it
            is installed and the network can be converted.
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    sampling: Sampling = field(default_factory=Sampling)
    transform: Transform = field(default_factory=Transform)
    reader: ReaderName = "auto"
    dtype: Literal["auto", "float32", "float16"] = "auto"
    runtime: Runtime = "auto"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FeatureSettings":
        """The settings that `to_dict` gave."""
        nested = {"backbone": BackboneConfig, "sampling": Sampling, "transform": Transform}
        settings = cls(**{k: nested[k](**v) if k in nested else v for k, v in values.items()})
        mean, std = settings.backbone.mean, settings.backbone.std  # lists, if they were in a file
        backbone = replace(settings.backbone, mean=mean and three(mean), std=std and three(std))
        return replace(settings, backbone=backbone)

    @property
    def stored_dtype(self) -> Literal["float32", "float16"]:
        """What `dtype` comes to."""
        if self.dtype != "auto":
            return self.dtype
        return "float16" if self.backbone.num_cells > 1 else "float32"

    @property
    def num_views(self) -> int:
        """Views of a clip, V: temporal times spatial."""
        return self.sampling.num_temporal_views * self.transform.num_views


@dataclass(frozen=True)
class FeatureSpec:
    """The settings, and what they meant when the features were made.

    Attributes:
        settings: what was asked, with the network that a preset stands for, the runtime that
            `auto` stood for, and the size, mean, std and interpolation of the pictures that the
            weights were trained on.
        reader: decoder and version that `settings.reader` stands for.
        weights_sha256: identity of the backbone's weights, see `weights_identity`.
        runtime: version of the runtime, where its numbers depend on it.
        preprocessing: version of this package's own sampling, resizing and pooling code.
    """

    settings: FeatureSettings
    reader: str
    weights_sha256: str
    runtime: str = ""
    preprocessing: int = 2

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FeatureSpec":
        """The spec that `to_dict` gave.

        Raises:
            ValueError: if a field is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        if set(values) != known:
            raise ValueError(
                f"not a feature spec of this version: fields {sorted(values)}, wanted "
                f"{sorted(known)}; extract the features, and train, again"
            )
        # Of before there was a choice.
        transform = {"interpolation": "bilinear", **values["settings"]["transform"]}
        backbone = values["settings"]["backbone"]
        backbone = {**backbone, "layer": backbone["layer"] or POOLED}
        settings = FeatureSettings.from_dict(
            {**values["settings"], "transform": transform, "backbone": backbone}
        )
        return cls(**{**values, "settings": settings})

    @property
    def num_cells(self) -> int:
        """Places of a picture; see `BackboneConfig.num_cells`."""
        return self.settings.backbone.num_cells

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the store; equal features, and only those, share it."""
        return sha256_of_text(json.dumps(self._identity(), sort_keys=True))[:16]

    def _identity(self) -> dict[str, Any]:
        """What can change a feature: not where weights lie, nor how a reader was asked for."""
        values = self.to_dict()
        for name in ("weights", "seed", "sha256"):
            del values["settings"]["backbone"][name]
        del values["settings"]["reader"]
        settings = self.settings
        values["settings"]["dtype"] = settings.stored_dtype
        # Stores of before there was a choice keep their names.
        layer = None if settings.backbone.layer == POOLED else settings.backbone.layer
        values["settings"]["backbone"] |= {"layer": layer, "grid": settings.backbone.cells_a_side}
        if values["settings"]["transform"]["interpolation"] in (None, "bilinear"):
            del values["settings"]["transform"]["interpolation"]
        return values

    def difference(self, other: "FeatureSpec") -> list[str]:
        """What differs, one line a field: `backbone.name: resnet18, here resnet50`."""
        ours, theirs = _flat(self._identity()), _flat(other._identity())
        found = [
            f"{key.removeprefix('settings.')}: {_short(ours.get(key))}, "
            f"here {_short(theirs.get(key))}"
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        ]
        names = self.settings.backbone.weights, other.settings.backbone.weights
        if self.weights_sha256 != other.weights_sha256 and names[0] != names[1]:
            found[-1] += f" ({names[0]}, here {names[1]})"  # `weights_sha256` is the last key
        return found


def three(values: Iterable[float]) -> Channels:
    """A value for red, green and blue.

    Raises:
        ValueError: if there are not three.
    """
    red, green, blue = (float(value) for value in values)
    return red, green, blue


IMPORTED = "import:"


def is_imported(name: str) -> bool:
    """Whether a backbone's name (`import:NAME`) says that its features were made elsewhere."""
    return name.startswith(IMPORTED)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 64 else f"{text[:12]}..."


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
