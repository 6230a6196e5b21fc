"""Which tensor of a network is its feature, for every kind of network and every runtime."""

import builtins
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.network import Hooked, head_of
from actionrnn.features.resolve import spec_of
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.weights import build_model, preprocessing_of, weights_identity
from actionrnn.video.transform import Transform

SMALL = ["mobilenet_v3_small", "shufflenet_v2_x0_5", "resnet18"]
LARGE = [
    "alexnet", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "regnet_y_400mf", "swin_v2_t", "vgg11_bn", "vit_b_16",
]  # fmt: skip


def pictures(count: int = 1, size: int = 224) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(n, marks=pytest.mark.slow) for n in LARGE)]
)
def test_the_feature_is_what_enters_the_classifier(name: str) -> None:
    backbone = FrozenBackbone(BackboneConfig(name, "random"), batch_size=1)
    model = build_model(BackboneConfig(name, "random")).eval()
    entering: list[Tensor] = []
    head = model.get_submodule(head_of(model, torch.rand(1, 3, 224, 224)))
    head.register_forward_pre_hook(lambda _, args: entering.append(args[0]))
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    with torch.inference_mode():
        model((pictures() / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    expected = entering[0]
    if expected[0].numel() != backbone.feature_dim:  # the classifier itself pools, or unrolls a map
        expected = expected.view(1, backbone.feature_dim, -1).mean(2)
    expected = expected.flatten(1)
    # Random weights may give values of any size; they are compared at their own.
    torch.testing.assert_close(
        backbone(pictures()) / expected.std(), expected / expected.std(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.slow
def test_a_network_without_a_map_has_no_grid() -> None:
    with pytest.raises(ActionRNNError, match="cannot be pooled on a 2x2 grid; choose another"):
        FrozenBackbone(BackboneConfig("vit_b_16", "random", grid=2))


def test_published_weights_bring_their_own_preprocessing(tmp_path: Path) -> None:
    assert preprocessing_of(BackboneConfig("inception_v3")).size == 299
    assert preprocessing_of(BackboneConfig("mobilenet_v2")).mean == (0.485, 0.456, 0.406)
    path = tmp_path / "w.safetensors"
    about = {"mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]", "input_size": "160"}
    save_file({"w": torch.zeros(1)}, path, about)
    found = preprocessing_of(BackboneConfig("resnet18", str(path)))
    assert (found.mean, found.size) == ((0.1, 0.2, 0.3), 160)


def test_pictures_have_the_size_of_the_weights_unless_another_is_given(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.zeros(1)}, path, {"input_size": "160"})
    settings = FeatureSettings(BackboneConfig("squeezenet1_1", str(path)))
    assert spec_of(settings).settings.transform == Transform(160, interpolation="bilinear")
    assert spec_of(replace(settings, transform=Transform(96))).settings.transform.size == 96
    inception = FeatureSettings(BackboneConfig("inception_v3", sha256="ab" * 32))
    assert spec_of(inception).settings.transform.size == 299
    usual = FeatureSettings(BackboneConfig("squeezenet1_1", "random"))
    assert spec_of(usual) == spec_of(replace(usual, transform=Transform(224)))


def test_one_changed_weight_is_another_spec(tmp_path: Path) -> None:
    values = torch.zeros(1000)
    specs = []
    for name in ("a", "b", "c"):
        values[700] = float(name == "b") * 1e-7
        save_file({"w": values}, tmp_path / f"{name}.safetensors")
        (tmp_path / f"{name}.safetensors").rename(tmp_path / "w.safetensors")
        config = BackboneConfig("squeezenet1_1", str(tmp_path / "w.safetensors"))
        specs.append(spec_of(FeatureSettings(config)))
    assert specs[0] == specs[2] != specs[1]
    assert [line.partition(":")[0] for line in specs[0].difference(specs[1])] == ["weights_sha256"]


class Own(nn.Module):
    """A network whose flow depends on its input, so that it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 7, 3, 4), nn.BatchNorm2d(7), nn.ReLU())
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if x.sum() > 1e30:
            x = x * 2
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def test_your_own_network_needs_only_a_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).read_text()
    own = source[source.index("class Own") : source.index("def test_your_own")]
    own = f"import torch\nfrom torch import Tensor, nn\n{own}\ndef make():\n    return Own()\n"
    (tmp_path / "my_networks.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    config = BackboneConfig("my_networks:make")
    backbone = FrozenBackbone(config, batch_size=2)
    assert backbone.feature_dim == 5, "its own output is the feature"
    gridded = FrozenBackbone(BackboneConfig("my_networks:make", layer="body", grid=2))
    assert isinstance(gridded.network, Hooked)
    assert gridded.feature_dim == 28
    whole = backbone(pictures(9, 32))
    assert torch.equal(whole, torch.cat([backbone(one[None]) for one in pictures(9, 32)]))
    identity = weights_identity(config)
    assert identity == weights_identity(config)
    (tmp_path / "my_networks.py").write_text(own.replace("nn.ReLU()", "nn.GELU()"))
    del sys.modules["my_networks"]
    assert weights_identity(config) != identity, "the code is part of it"
    assert weights_identity(BackboneConfig("my_networks:make", seed=1)) != weights_identity(config)


@pytest.mark.parametrize(
    ("name", "message"),
    [("my_nothing:make", "No module named 'my_nothing'"), ("math:sin2", "has no attribute 'sin2'")],
)
def test_a_factory_that_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(ActionRNNError, match=message):
        FrozenBackbone(BackboneConfig(name))


@pytest.mark.slow
def test_a_timm_network_can_be_used_by_name(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    config = BackboneConfig("timm:mobilenetv3_small_050", "random")
    backbone = FrozenBackbone(config, batch_size=1)
    model = build_model(config).eval()
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    scaled = (pictures() / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(scaled), pre_logits=True)
    torch.testing.assert_close(backbone(pictures()), expected, rtol=1e-3, atol=1e-4)
    whole = timm.create_model("mobilenetv3_small_050")
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    local = BackboneConfig("timm:mobilenetv3_small_050", str(tmp_path / "w.safetensors"))
    assert FrozenBackbone(local, batch_size=1).feature_dim == backbone.feature_dim
    with pytest.raises(ActionRNNError, match="timm has no model 'mobilenetv3_smal'; did you mean"):
        FrozenBackbone(BackboneConfig("timm:mobilenetv3_smal", "random"))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "timm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ActionRNNError, match=r"pip install 'actionrnn\[timm\]'"):
        FrozenBackbone(BackboneConfig("timm:resnet18", "random"))


@pytest.mark.slow
def test_openvino_gives_the_same_features_and_its_bits_do_not_vary() -> None:
    pytest.importorskip("openvino")
    config = BackboneConfig("squeezenet1_1", "random", grid=2)
    expected = FrozenBackbone(config)(pictures(11, 96))
    backbone = FrozenBackbone(config, runtime="openvino", batch_size=4)
    found = backbone(pictures(11, 96))
    assert torch.cosine_similarity(found, expected).min() > 0.99999
    assert torch.equal(found, torch.cat([backbone(one[None]) for one in pictures(11, 96)]))


def test_bfloat16_is_near() -> None:
    config = BackboneConfig("squeezenet1_1", "random")
    expected = FrozenBackbone(config)(pictures(2, 96))
    found = FrozenBackbone(config, runtime="torch-bf16")(pictures(2, 96))
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).min() > 0.999
    assert not torch.equal(found, expected)
