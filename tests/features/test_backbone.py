"""Frozen means frozen: eval mode, folded BatchNorm equal to the network, not a bit changed."""

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from actionrnn.errors import ActionRNNError
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.spec import BackboneConfig
from actionrnn.features.weights import build_model, weights_identity


def pictures(count: int = 4, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Give BatchNorm statistics that matter."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


@pytest.mark.parametrize(
    ("name", "last"),
    [("resnet18", "layer4"), ("mobilenet_v2", "features"), ("squeezenet1_1", "features")],
)
def test_features_are_the_pooled_last_map_of_the_plain_network(
    name: str, last: str, tmp_path: Path
) -> None:
    model = lively(build_model(BackboneConfig(name, "random"))).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    backbone = FrozenBackbone(BackboneConfig(name, str(tmp_path / "w.safetensors")))
    maps: list[torch.Tensor] = []
    dict(model.named_children())[last].register_forward_hook(lambda m, i, o: maps.append(o))
    scaled = pictures().float() / 255
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    with torch.no_grad():
        model((scaled - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    expected = maps[0].mean((2, 3))
    torch.testing.assert_close(backbone(pictures()), expected, rtol=1e-3, atol=1e-4)
    assert backbone.feature_dim == expected.shape[1]


def test_not_a_bit_changes_and_nothing_is_in_training_mode() -> None:
    backbone = FrozenBackbone(BackboneConfig("resnet18", "random"))
    network = backbone.network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for _ in range(3):
        backbone(pictures())
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules()), "folded"


def test_a_picture_has_the_same_features_in_any_company() -> None:
    backbone = FrozenBackbone(BackboneConfig("squeezenet1_1", "random"))
    full = backbone(pictures(16))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(backbone(pictures(16)[order]), full[order])
    alone = torch.cat([backbone(picture[None]) for picture in pictures(16)])
    assert torch.equal(alone, full)


def test_random_weights_depend_on_the_seed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    config = BackboneConfig("squeezenet1_1", "random", seed=1)
    torch.manual_seed(5)
    first = FrozenBackbone(config)(pictures())
    torch.manual_seed(6)
    assert torch.equal(FrozenBackbone(config)(pictures()), first)
    other = BackboneConfig("squeezenet1_1", "random", seed=2)
    assert not torch.equal(FrozenBackbone(other)(pictures()), first)
    assert weights_identity(config) != weights_identity(other)
    assert "RANDOM weights" in capsys.readouterr().err


def test_building_a_backbone_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    FrozenBackbone(BackboneConfig("squeezenet1_1", "random"))
    assert torch.equal(torch.rand(3), expected)


def test_a_grid_keeps_where_things_are() -> None:
    whole = FrozenBackbone(BackboneConfig("squeezenet1_1", "random"))
    cells = FrozenBackbone(BackboneConfig("squeezenet1_1", "random", grid=2))
    assert cells.feature_dim == 4 * whole.feature_dim
    left, right = pictures(1), pictures(1)
    left[..., :32], right[..., 32:] = 0, 0
    assert not torch.allclose(cells(left), cells(right), atol=1e-3)


def test_a_named_layer_can_be_read() -> None:
    backbone = FrozenBackbone(BackboneConfig("resnet18", "random", layer="layer2"))
    assert backbone.feature_dim == 128


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BackboneConfig("resnet81", "random"), "did you mean resnet18"),
        (BackboneConfig("resnet18", "random", layer="layer9"), "no layer 'layer9'; did you mean"),
        (BackboneConfig("resnet18", "IMAGENET1K_V9"), "did you mean IMAGENET1K_V1"),
        (BackboneConfig("resnet18", "gone.safetensors"), "there is no such file"),
    ],
)
def test_what_cannot_be_had_is_named(config: BackboneConfig, message: str) -> None:
    with pytest.raises(ActionRNNError, match=message):
        FrozenBackbone(config)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "s.pth")
    with pytest.raises(ActionRNNError, match="does not hold weights of resnet18"):
        FrozenBackbone(BackboneConfig("resnet18", str(tmp_path / "s.pth")))


def test_weights_files_are_never_unpickled_freely(tmp_path: Path) -> None:
    torch.save({"hook": pytest.fail}, tmp_path / "evil.pth")
    with pytest.raises(ActionRNNError, match="cannot be read as weights"):
        FrozenBackbone(BackboneConfig("resnet18", str(tmp_path / "evil.pth")))


def test_without_a_network_the_download_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(ActionRNNError, match=r"--features\.backbone\.weights FILE"):
        FrozenBackbone(BackboneConfig("squeezenet1_1", "DEFAULT"))


@pytest.mark.real
@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_real_weights_load_with_their_own_statistics(name: str, shared_data: Path) -> None:
    path = shared_data / "weights" / f"{name}_imagenet.safetensors"
    backbone = FrozenBackbone(BackboneConfig(name, str(path)))
    assert backbone.mean == (0.485, 0.456, 0.406)
    assert backbone(pictures(2, 96)).isfinite().all()


@pytest.mark.slow
def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    """torchrun gives its processes one thread each, and their features must be the same."""
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(FrozenBackbone(BackboneConfig("squeezenet1_1", "random"))(pictures(40)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], each) for each in found[1:])
