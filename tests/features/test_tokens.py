"""Token layers: where things are, of transformers and CNNs, of one layer or of several."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.resolve import spec_of
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.weights import build_model
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head

pytest.importorskip("timm")
VIT, CONVNEXT = "timm:test_vit.r160_in1k", "timm:test_convnext.r160_in1k"


def pictures(count: int = 2, size: int = 160) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def backbone(name: str, layer: str, grid: int | None = None, side: int = 160) -> FrozenBackbone:
    config = BackboneConfig(name, "random", layer=layer, grid=grid)
    return FrozenBackbone(config, batch_size=2, side=side)


def tokens_of_vit() -> Tensor:
    """All that leaves the last norm of the transformer, (N, 1 + 100, 64)."""
    made = backbone(VIT, "pooled")
    model = build_model(BackboneConfig(VIT, "random")).eval()
    scaled = (pictures() / 255 - torch.tensor(made.mean).view(1, 3, 1, 1)) / torch.tensor(
        made.std
    ).view(1, 3, 1, 1)
    with torch.inference_mode():
        found: Tensor = model.forward_features(scaled)  # type: ignore[operator]
    return found


def test_patches_of_a_transformer_are_a_grid_of_places_cells_fastest() -> None:
    patches_NPC = tokens_of_vit()[:, 1:]
    maps_NChw = patches_NPC.transpose(1, 2).unflatten(2, (10, 10))
    found = backbone(VIT, "tokens", grid=10)(pictures())
    torch.testing.assert_close(found, maps_NChw.flatten(1), rtol=1e-3, atol=1e-4)
    pooled = nn.functional.adaptive_avg_pool2d(maps_NChw, 7).flatten(1)
    torch.testing.assert_close(backbone(VIT, "tokens")(pictures()), pooled, rtol=1e-3, atol=1e-4)


def test_the_class_token_is_one_more_place() -> None:
    with_class = backbone(VIT, "tokens+class", grid=5)
    found = with_class(pictures()).unflatten(1, (64, 26))
    assert with_class.feature_dim == 64 * 26
    assert with_class.config.num_cells == 26
    plain = backbone(VIT, "tokens", grid=5)(pictures()).unflatten(1, (64, 25))
    torch.testing.assert_close(found[..., :25], plain)
    torch.testing.assert_close(found[..., 25], tokens_of_vit()[:, 0], rtol=1e-3, atol=1e-4)


def test_several_layers_stand_one_above_the_other() -> None:
    both = backbone(VIT, "tokens:1,5", grid=2)(pictures()).unflatten(1, (128, 4))
    for place, layer in enumerate(("tokens:1", "tokens:5")):
        alone = backbone(VIT, layer, grid=2)(pictures()).unflatten(1, (64, 4))
        torch.testing.assert_close(both[:, 64 * place : 64 * (place + 1)], alone)


def test_stages_of_a_cnn_meet_on_the_smallest_map() -> None:
    made = backbone(CONVNEXT, "tokens:2,3", grid=5)
    assert made.feature_dim == (48 + 64) * 25
    assert made.pipeline.feature_maps(pictures()).shape == (2, 48 + 64, 5, 5)
    last = backbone(CONVNEXT, "tokens", grid=5)(pictures())
    torch.testing.assert_close(made(pictures())[:, 48 * 25 :], last)


def test_layers_of_torchvision_are_named() -> None:
    several = backbone("resnet18", "tokens:layer2,layer4", grid=2, side=64)
    assert several.feature_dim == (128 + 512) * 4
    assert not any(isinstance(m, nn.BatchNorm2d) for m in several.network.modules()), "folded"
    last = backbone("resnet18", "tokens", grid=2, side=64)
    found = several(pictures(2, 64))[:, 128 * 4 :]
    torch.testing.assert_close(found, last(pictures(2, 64)), rtol=1e-3, atol=1e-4)
    plain = FrozenBackbone(BackboneConfig("resnet18", "random", grid=2), batch_size=2)
    assert torch.equal(last(pictures(2, 64)), plain(pictures(2, 64)))


def test_tokens_are_pooled_to_seven_cells_a_side_and_stored_in_half() -> None:
    for layer, cells, dtype in (
        ("pooled", 1, "float32"),
        ("tokens", 49, "float16"),
        ("tokens+class:1,2", 50, "float16"),
    ):
        settings = FeatureSettings(BackboneConfig(VIT, "random", layer=layer))
        spec = spec_of(settings)
        assert (spec.num_cells, spec.settings.dtype) == (cells, dtype)
    gridded = FeatureSettings(BackboneConfig(VIT, "random", grid=3))
    assert spec_of(gridded).settings.dtype == "float16"
    assert spec_of(replace(gridded, dtype="float32")).settings.dtype == "float32"


def test_what_a_layer_comes_to_is_the_store() -> None:
    def fingerprint(**options: object) -> str:
        return spec_of(FeatureSettings(BackboneConfig(VIT, "random", **options))).fingerprint  # type: ignore[arg-type]

    assert fingerprint(layer="tokens") == fingerprint(layer="tokens", grid=7)
    others = [{}, *({"layer": each} for each in ("tokens", "tokens+class", "tokens:1", "tokens:2"))]
    assert len({fingerprint(**each) for each in others}) == len(others)


@pytest.mark.parametrize("head", ["attend_recur", "recur_attend", "token_probe_ordered"])
def test_heads_over_tokens_read_them(head: str) -> None:
    config = BackboneConfig(VIT, "random", layer="tokens+class", grid=2)
    features = FrozenBackbone(config, batch_size=2)(pictures(6)).unflatten(0, (2, 3))
    head_config = HeadConfig(head=head, inputs="features,abs_delta,ahead", hidden_size=8)  # type: ignore[arg-type]
    made = build_head(head_config, features.shape[2], 4, config.num_cells)
    assert made(features, torch.tensor([3, 2])).logits_BK.shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "layer", "side", "message"),
    [
        (VIT, "tokens:1,12", 160, "12 is no layer of this network.* from 0 to 5"),
        (VIT, "tokens:blocks", 160, "blocks is no layer"),
        (CONVNEXT, "tokens+class", 160, "no class token: use --features.backbone.layer tokens"),
        (CONVNEXT, "tokens", 96, "has 3x3 places in pictures of 96 px, fewer .*grid 3, or"),
        ("resnet18", "tokens+class", 64, "class tokens are had of timm's transformers alone"),
        ("resnet18", "tokens:layer9", 64, "no layer 'layer9'; did you mean"),
        ("resnet18", "tokens:layer4,fc", 64, "which is no map"),
        (VIT, "token", 160, "no layer 'token'"),
    ],
)
def test_what_cannot_be_had_is_named(name: str, layer: str, side: int, message: str) -> None:
    with pytest.raises(ActionRNNError, match=message):
        backbone(name, layer, side=side)
