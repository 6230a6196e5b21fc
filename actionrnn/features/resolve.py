"""What the user's settings mean on this machine: settings become the spec of the features."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import PIL
from torch.fx import GraphModule

from actionrnn.features.backbone import cut_network
from actionrnn.features.clip_sources import MISSING, PICTURES, Clip
from actionrnn.features.openvino import is_installed as openvino_is_installed
from actionrnn.features.openvino import runtime_version
from actionrnn.features.presets import PRESET_SIDE, PRESETS
from actionrnn.features.spec import FeatureSettings, FeatureSpec, Runtime, is_imported
from actionrnn.features.store import is_store
from actionrnn.features.weights import preprocessing_of, weights_identity
from actionrnn.progress import tell
from actionrnn.video.reader import reader_version, resolve_reader

# OpenVINO does 1.0 to 2.2 times the pictures of torch on one core (bench_features.py --runtimes),
# and takes one to four seconds more to start: what it gains on so many of a small network.
MANY_PICTURES = 2000


def spec_of(
    settings: FeatureSettings,
    device: str = "cpu",
    clips: Sequence[Clip] = (),
    folder: Path | None = None,
) -> FeatureSpec:
    """What the settings mean here: which decoder for the clips, which weights, which runtime.

    `auto` is bfloat16 on a GPU. On a CPU it is the runtime whose features are there; where there
    are none, OpenVINO if it is installed, the network can be converted, and pictures are many.

    Args:
        settings: what was asked.
        device: where the backbone runs.
        clips: those that are read.
        folder: of the stores.
    """
    if is_imported(settings.backbone.name):
        return imported_spec(settings.backbone.name)
    settings = resolved(settings)
    reader, weights = readers_of(clips, settings.reader), weights_identity(settings.backbone)

    def with_runtime(runtime: Runtime) -> FeatureSpec:
        backbone = replace(settings.backbone, sha256=None)
        version = runtime_version() if runtime == "openvino" else ""
        meant = replace(settings, runtime=runtime, backbone=backbone)
        return FeatureSpec(meant, reader, weights, version)

    if settings.runtime != "auto":
        return with_runtime(settings.runtime)
    if device.startswith("cuda"):
        return with_runtime("torch-bf16")
    specs = [with_runtime("torch")]
    if openvino_is_installed():
        specs.append(with_runtime("openvino"))
        there = [spec for spec in specs if folder and is_store(folder / spec.fingerprint)]
        many = len(clips) * settings.num_views * settings.sampling.num_frames >= MANY_PICTURES
        if there or not (many and _can_be_converted(settings)):
            return (there or specs)[0]
    return specs[-1]


def _can_be_converted(settings: FeatureSettings) -> bool:
    """Whether the network, whatever its weights, can be traced."""
    untrained = replace(settings.backbone, weights="random", sha256=None)
    side = settings.transform.side
    return isinstance(cut_network(untrained, side, side), GraphModule)


def resolved(settings: FeatureSettings) -> FeatureSettings:
    """The settings with the network that a preset stands for, and its pictures.

    Pictures are those that the weights were trained on, where the settings do not say, but of
    `PRESET_SIDE` for presets. Settings that say everything (a checkpoint's) need no weights.
    """
    backbone, transform = settings.backbone, settings.transform
    if is_imported(backbone.name):
        return settings
    if backbone.name in PRESETS:
        backbone = replace(backbone, name=PRESETS[backbone.name].network)
        transform = replace(transform, size=transform.size or PRESET_SIDE)
    if None in (transform.size, transform.interpolation, backbone.mean, backbone.std):
        wanted = preprocessing_of(backbone)
        backbone = replace(backbone, mean=wanted.mean, std=wanted.std)
        transform = replace(
            transform,
            size=transform.size or wanted.size,
            interpolation=transform.interpolation or wanted.interpolation,
        )
    return replace(settings, backbone=backbone, transform=transform, dtype=settings.stored_dtype)


def settings_of(spec: FeatureSpec, weights: str | None = None) -> FeatureSettings:
    """The settings that give the features of a spec again, with these very weights or none.

    Features that OpenVINO made are made by torch where it is not installed, and differ in their
    last digits; it is said.

    Args:
        spec: of the features.
        weights: where the weights are now; None is where they were.
    """
    backbone = spec.settings.backbone
    runtime = spec.settings.runtime
    if runtime == "openvino" and not openvino_is_installed():
        tell(
            f"note: {spec.runtime} made these features and is not installed here: torch makes "
            f"them, to the last digits (pip install 'actionrnn[openvino]' for the same bits)"
        )
        runtime = "torch"
    backbone = replace(backbone, weights=weights or backbone.weights, sha256=spec.weights_sha256)
    return replace(spec.settings, backbone=backbone, runtime=runtime)


def imported_spec(name: str) -> FeatureSpec:
    """The spec of features made elsewhere, which is known by its name alone (`import:NAME`)."""
    backbone = replace(FeatureSettings().backbone, name=name, weights="imported")
    return FeatureSpec(FeatureSettings(backbone), "imported", weights_identity(backbone))


def readers_of(clips: Sequence[Clip], reader: str) -> str:
    """Name and version of what reads the clips: `pyav 18.1.0`, or also `images` of folders."""
    pictures = any(PICTURES in clip.source for clip in clips)
    if pictures and all(PICTURES in clip.source or clip.source == MISSING for clip in clips):
        return f"images {PIL.__version__}"
    version = reader_version(resolve_reader(reader))
    return ", ".join([version] + [f"images {PIL.__version__}"] * pictures)
