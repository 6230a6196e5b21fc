"""What the user's settings mean on this machine: settings become the spec of the features."""

from collections.abc import Sequence
from dataclasses import replace

import PIL

from actionrnn.features.clip_sources import MISSING, PICTURES, Clip
from actionrnn.features.openvino import runtime_version
from actionrnn.features.presets import PRESET_SIDE, PRESETS
from actionrnn.features.spec import FeatureSettings, FeatureSpec, is_imported
from actionrnn.features.weights import preprocessing_of, weights_identity
from actionrnn.video.reader import reader_names, reader_version, resolve_reader


def spec_of(
    settings: FeatureSettings, device: str = "cpu", clips: Sequence[Clip] = ()
) -> FeatureSpec:
    """What the settings mean here: which decoder for the clips, which weights, which runtime.

    Args:
        settings: what was asked.
        device: where the backbone runs.
        clips: those that are read.
    """
    if is_imported(settings.backbone.name):
        return imported_spec(settings.backbone.name)
    settings = resolved(settings)
    runtime = settings.runtime
    if runtime == "auto":
        runtime = "torch-bf16" if device.startswith("cuda") else "torch"
    meant = replace(settings, runtime=runtime, backbone=replace(settings.backbone, sha256=None))
    return FeatureSpec(
        meant,
        readers_of(clips, settings.reader),
        weights_identity(settings.backbone),
        runtime_version() if runtime == "openvino" else "",
    )


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

    Args:
        spec: of the features.
        weights: where the weights are now; None is where they were.
    """
    backbone = spec.settings.backbone
    where = weights or backbone.weights
    return replace(
        spec.settings, backbone=replace(backbone, weights=where, sha256=spec.weights_sha256)
    )


def imported_spec(name: str) -> FeatureSpec:
    """The spec of features made elsewhere, which is known by its name alone (`import:NAME`)."""
    backbone = replace(FeatureSettings().backbone, name=name, weights="imported")
    return FeatureSpec(FeatureSettings(backbone), "imported", weights_identity(backbone))


def readers_of(clips: Sequence[Clip], reader: str) -> str:
    """Name and version of everything that may read one of the clips: `decord 0.6.0, pyav 18.1`.

    `auto` reads with PyAV what decord refuses; folders of pictures are read by neither.
    """
    pictures = any(PICTURES in clip.source for clip in clips)
    if pictures and all(PICTURES in clip.source or clip.source == MISSING for clip in clips):
        return f"images {PIL.__version__}"
    names = [resolve_reader(reader)]
    if reader == "auto" and "pyav" in reader_names() and names != ["pyav"]:
        names.append("pyav")
    versions = [reader_version(name) for name in names]
    return ", ".join(versions + [f"images {PIL.__version__}"] * pictures)
