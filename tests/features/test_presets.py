"""Backbones by a short name: what the table says is what timm and torchvision build."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.presets import PRESETS, Preset
from actionrnn.features.resolve import resolved, spec_of
from actionrnn.features.spec import BackboneConfig, FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.features.weights import build_model
from actionrnn.video.transform import Transform

timm = pytest.importorskip("timm")
TINY = {
    "vit": Preset("timm:test_vit.r160_in1k", "", 0, 0, 64, ""),
    "map_vit": Preset("timm:test_vit3.r160_in1k", "", 0, 0, 96, ""),
    "convnext": Preset("timm:test_convnext.r160_in1k", "", 0, 0, 64, ""),
}


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, preset in TINY.items():
        monkeypatch.setitem(PRESETS, name, preset)


def meta_network(network: str) -> nn.Module:
    """A network for pictures of 224 px, without numbers in it."""
    with torch.device("meta"):
        if not network.startswith("timm:"):
            return torchvision.models.get_model(network).eval()
        model: nn.Module = timm.create_model(network.removeprefix("timm:")).eval()
        if hasattr(model, "set_input_size"):
            model.set_input_size(img_size=(224, 224))
        return model


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_tells_what_a_picture_costs(name: str) -> None:
    preset = PRESETS[name]
    model = meta_network(preset.network)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    assert round(counter.get_total_flops() / 2e9, 1) == preset.gmacs
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == preset.parameters
    width = model.head_hidden_size if name != "resnet50" else model.fc.in_features
    assert width == preset.width


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "resnet50"])
def test_licences_are_those_that_timm_knows(name: str) -> None:
    known = timm.get_pretrained_cfg(PRESETS[name].network.removeprefix("timm:")).license
    said = PRESETS[name].licence.lower().replace(" ", "-")
    # OpenAI published CLIP under MIT; timm's conversion of it says Apache-2.0.
    assert known.removesuffix("-license") == ("apache-2.0" if name == "clip_vit_base" else said)


def test_size_normalisation_and_interpolation_come_with_the_name() -> None:
    spec = spec_of(FeatureSettings(BackboneConfig("siglip_base", "random")))
    settings = spec.settings
    assert settings.backbone.name == "timm:vit_base_patch16_siglip_224.webli"
    assert settings.backbone.mean == settings.backbone.std == (0.5, 0.5, 0.5)
    assert settings.transform == Transform(224, interpolation="bicubic")
    dinov2 = resolved(FeatureSettings(BackboneConfig("dinov2_small", "random")))
    assert dinov2.transform.size == 224, "its weights were trained on 518 px"
    asked = FeatureSettings(BackboneConfig("dinov2_small", "random"), transform=Transform(98))
    assert resolved(asked).transform.size == 98


def test_what_a_name_stands_for_is_in_the_fingerprint() -> None:
    by_name, vit = (
        spec_of(FeatureSettings(BackboneConfig(name, "random")))
        for name in ("vit", TINY["vit"].network)
    )
    assert by_name.settings.transform.size == 224
    assert vit.settings.transform.size == 160
    at_224 = FeatureSettings(
        BackboneConfig(TINY["vit"].network, "random"), transform=Transform(224)
    )
    assert spec_of(at_224).fingerprint == by_name.fingerprint != vit.fingerprint
    other = replace(at_224, transform=Transform(224, interpolation="bilinear"))
    assert spec_of(other).difference(by_name) == ["transform.interpolation: None, here bicubic"]


def test_specs_of_before_there_was_a_choice_are_bilinear() -> None:
    old = spec_of(FeatureSettings(BackboneConfig("squeezenet1_1", "random")))
    plain = old.to_dict()
    del plain["settings"]["transform"]["interpolation"]
    assert FeatureSpec.from_dict(plain) == old
    assert old.settings.transform.interpolation == "bilinear"


@pytest.mark.parametrize("name", TINY)
def test_a_network_is_built_for_pictures_of_another_size(name: str) -> None:
    settings = resolved(FeatureSettings(BackboneConfig(name, "random")))
    backbone = FrozenBackbone(settings.backbone, batch_size=2, side=224)
    pictures = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    assert backbone(pictures).shape == (2, TINY[name].width)
    assert not torch.equal(*backbone(pictures))


def test_weights_of_a_file_are_made_for_the_size(tmp_path: Path) -> None:
    config = BackboneConfig(TINY["vit"].network, "random")
    torch.save(build_model(config).state_dict(), tmp_path / "w.pth")
    from_file = build_model(replace(config, weights=str(tmp_path / "w.pth")), 224).state_dict()
    for key, value in build_model(config, 224).state_dict().items():
        assert torch.equal(from_file[key], value), key
    assert from_file["pos_embed"].shape[1] == 14 * 14 + 1


def test_a_network_of_one_size_alone_says_so() -> None:
    with pytest.raises(ActionRNNError, match="takes pictures of 224 px alone; leave out"):
        build_model(BackboneConfig("timm:mixer_s32_224", "random"), 160)


def test_one_flag_is_enough(copied: Callable[[slice], Manifest]) -> None:
    root = copied(slice(3)).root
    words = [f"--data.root={root}", "--weights=random", "--features.sampling.num_frames=1"]
    assert main(["extract", *words, "--backbone=vit"]) == 0
    store = FeatureStore.open(next((root / "features").iterdir()))
    assert store.feature_dim == TINY["vit"].width
    assert store.spec.settings.transform.size == 224
    assert store.spec.settings.backbone.name == TINY["vit"].network


def test_presets_are_listed_with_licence_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "eupe_convnext_tiny" in x]
    assert "FAIR Noncommercial Research" in line
    assert "4.5 GMACs" in line
