"""Whatever could change a feature is part of its fingerprint, and is named where it differs."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from actionrnn.features.spec import FeatureSettings, FeatureSpec

SETTINGS = FeatureSettings(dtype="float32")
SPEC = FeatureSpec(SETTINGS, "decord 0.6.0, pyav 18.1", "ab" * 32, "openvino 2026.4")
CHANGES: dict[str, Any] = {
    "settings.backbone.name": "resnet18",
    "settings.backbone.layer": "features",
    "settings.backbone.grid": 2,
    "settings.backbone.mean": (0.5, 0.5, 0.5),
    "settings.backbone.std": (0.5, 0.5, 0.5),
    "settings.sampling.mode": "fps",
    "settings.sampling.num_frames": 8,
    "settings.sampling.fps": 4.0,
    "settings.sampling.frame_interval": 4,
    "settings.sampling.num_temporal_views": 3,
    "settings.transform.size": 192,
    "settings.transform.resize": "squash",
    "settings.transform.resize_to": 300,
    "settings.transform.spatial_views": 3,
    "settings.transform.flip": True,
    "settings.transform.interpolation": "bicubic",
    "settings.dtype": "float16",
    "settings.runtime": "openvino",
    "reader": "decord 0.6.0, pyav 18.2",
    "weights_sha256": "cd" * 32,
    "runtime": "openvino 2026.5",
    "preprocessing": 99,
}


# Where the weights lie, which draw they are of (their SHA-256 says it), and how `reader` was asked.
WITHOUT_MEANING: dict[str, Any] = {
    "settings.backbone.weights": "elsewhere/w.safetensors",
    "settings.backbone.seed": 1,
    "settings.backbone.sha256": "ab" * 32,
    "settings.reader": "pyav",
}


def leaves(values: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) else {name}
    return found


def changed(spec: Any, path: str, value: Any) -> Any:
    first, _, rest = path.partition(".")
    return replace(spec, **{first: changed(getattr(spec, first), rest, value) if rest else value})


def test_every_field_is_tried() -> None:
    assert leaves(asdict(SPEC)) == {*CHANGES, *WITHOUT_MEANING}


@pytest.mark.parametrize("path", CHANGES)
def test_a_field_that_differs_is_another_store_and_is_named(path: str) -> None:
    other = changed(SPEC, path, CHANGES[path])
    assert other.fingerprint != SPEC.fingerprint
    (line,) = SPEC.difference(other)
    assert line.startswith(path.removeprefix("settings.") + ": ")
    assert ", here " in line
    assert FeatureSpec.from_dict(other.to_dict()) == other


@pytest.mark.parametrize("path", WITHOUT_MEANING)
def test_what_changes_no_feature_is_no_other_store(path: str) -> None:
    other = changed(SPEC, path, WITHOUT_MEANING[path])
    assert other.fingerprint == SPEC.fingerprint
    assert SPEC.difference(other) == []


def test_a_spec_is_the_same_after_a_way_through_json() -> None:
    spec = changed(SPEC, "settings.backbone.mean", (0.5, 0.5, 0.5))
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
