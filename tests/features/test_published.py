"""Weights are what their content is: published ones are checked, and found under any name."""

import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.transforms._presets import ImageClassification

from actionrnn.errors import ActionRNNError
from actionrnn.features import published, weights
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.published import sha256_of
from actionrnn.features.resolve import settings_of, spec_of
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.weights import build_model, preprocessing_of

NAME = "squeezenet1_1"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's cache with "published" weights whose name promises their content."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(build_model(BackboneConfig(NAME, "random", seed=3)).state_dict(), folder / "w")
    path = (folder / "w").rename(folder / f"{NAME}-{sha256(folder / 'w')[:8]}.pth")
    preset = ImageClassification(crop_size=160, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    entry = SimpleNamespace(url=f"https://example.org/{path.name}", transforms=lambda: preset)
    for module in (published, weights):
        monkeypatch.setattr(module, "torchvision_weights", lambda name, weights: entry)

    def of_content(name: str, digest: str) -> object:
        return entry if digest.startswith(path.stem.rpartition("-")[2]) else None

    monkeypatch.setattr(weights, "torchvision_weights_of", of_content)
    return path


def spec(weights: str) -> object:
    return spec_of(FeatureSettings(BackboneConfig(NAME, weights)))


def test_the_same_weights_by_name_or_by_any_path_are_the_same_features(
    cached: Path, tmp_path: Path
) -> None:
    by_name = spec("DEFAULT")
    elsewhere = shutil.copy(cached, tmp_path / "other.pth")
    by_path = spec(str(elsewhere))
    assert by_name.weights_sha256 == sha256(cached)  # type: ignore[attr-defined]
    assert by_name.fingerprint == by_path.fingerprint  # type: ignore[attr-defined]
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    one, other = (
        FrozenBackbone(BackboneConfig(NAME, each)) for each in ("DEFAULT", str(elsewhere))
    )
    assert one.mean == other.mean == (0.5, 0.5, 0.5)
    assert one.input_size == 160
    assert torch.equal(one(pictures), other(pictures))


def test_an_untrained_file_under_a_published_name_is_refused(cached: Path) -> None:
    torch.save(build_model(BackboneConfig(NAME, "random", seed=4)).state_dict(), cached)
    with pytest.raises(ActionRNNError, match=r"is not squeezenet1_1 weights DEFAULT: its SHA-256"):
        spec("DEFAULT")
    with pytest.raises(ActionRNNError, match="Delete it, and it is downloaded again"):
        build_model(BackboneConfig(NAME, "DEFAULT"))


def test_a_half_downloaded_file_is_refused_even_under_a_link(cached: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.write_bytes(cached.read_bytes()[:-100])
    cached.unlink()
    cached.symlink_to(half)
    with pytest.raises(ActionRNNError, match="its SHA-256 begins with"):
        spec("DEFAULT")


def test_every_published_name_of_torchvision_promises_a_hash() -> None:
    models = torchvision.models
    for name in models.list_models(module=models):
        for entry in models.get_model_weights(name):
            promised = published._promise(entry.url.rpartition("/")[2])
            assert len(promised) >= 8, entry.url
            assert published.torchvision_weights_of(name, promised + "0" * 56) is not None
    assert published.torchvision_weights_of(NAME, "no such hash") is None


def test_a_hash_is_that_of_the_content_however_fast_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for content in (b"a", b"b", b"a"):
        path.write_bytes(content)
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()
    os.utime(path, (0, 0))
    assert sha256_of(path) == hashlib.sha256(b"a").hexdigest()


def test_a_pinned_hash_decides_wherever_the_file_lies(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(build_model(BackboneConfig(NAME, "random")).state_dict(), path)
    made = spec_of(FeatureSettings(BackboneConfig(NAME, str(path))))
    moved = path.rename(tmp_path / "moved.safetensors")
    assert spec_of(settings_of(made)) == made, "features that are there need no weights"
    with pytest.raises(ActionRNNError, match=rf"no such file; .* SHA-256 {made.weights_sha256}"):
        FrozenBackbone(settings_of(made).backbone)
    backbone = FrozenBackbone(settings_of(made, str(moved)).backbone)
    assert backbone.weights_sha256 == made.weights_sha256
    backbone.close()
    save_file(build_model(BackboneConfig(NAME, "random", seed=1)).state_dict(), moved)
    with pytest.raises(ActionRNNError, match="are not the wanted ones"):
        FrozenBackbone(settings_of(made, str(moved)).backbone)


@pytest.mark.parametrize("other", ["resnet18", "squeezenet1_0"])
def test_weights_of_another_network_are_refused_in_one_sentence(tmp_path: Path, other: str) -> None:
    path = tmp_path / "w.pth"
    torch.save(build_model(BackboneConfig(other, "random")).state_dict(), path)
    with pytest.raises(ActionRNNError, match="does not hold weights of squeezenet1_1") as caught:
        build_model(BackboneConfig(NAME, str(path)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_what_is_no_tensor_is_no_weight(tmp_path: Path) -> None:
    torch.save({"features.0.weight": 1.0}, tmp_path / "w.pth")
    with pytest.raises(ActionRNNError, match="not all it holds are tensors"):
        build_model(BackboneConfig(NAME, str(tmp_path / "w.pth")))


def test_densenet_loads_the_old_names_of_its_published_files(tmp_path: Path) -> None:
    state = build_model(BackboneConfig("densenet121", "random")).state_dict()
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for key, v in state.items()
    }
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "w.pth")
    loaded = build_model(BackboneConfig("densenet121", str(tmp_path / "w.pth"))).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("name", "weights", "mean", "side"),
    [
        ("timm:tf_efficientnet_b0.ap_in1k", "DEFAULT", 0.5, 224),
        ("timm:tf_efficientnet_b0", "ap_in1k", 0.5, 224),
        ("timm:tf_efficientnet_b0.ap_in1k", "w.safetensors", 0.5, 224),
        ("timm:tf_efficientnet_b0", "DEFAULT", 0.485, 224),
        ("timm:vit_base_patch16_384.augreg_in1k", "DEFAULT", 0.5, 384),
        ("timm:resnet18.a1_in1k", "random", 0.485, 224),
    ],
)
def test_a_tag_keeps_its_own_size_mean_and_std(
    name: str, weights: str, mean: float, side: int, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    if weights.endswith(".safetensors"):
        weights = str(tmp_path / weights)
        save_file({"w": torch.zeros(1)}, weights, {"format": "pt"})
    found = preprocessing_of(BackboneConfig(name, weights))
    assert (found.mean[0], found.size) == (mean, side)
    settings = FeatureSettings(BackboneConfig(name, weights, sha256="ab" * 32))
    meant = spec_of(settings).settings
    assert meant.backbone.mean == found.mean
    assert meant.transform.size == side


def test_a_tag_that_timm_does_not_know_is_named() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ActionRNNError, match=r"no weights 'tf_efficientnet_b0\.ap_in2k'; did you"):
        preprocessing_of(BackboneConfig("timm:tf_efficientnet_b0.ap_in2k"))


def test_settings_go_before_what_the_weights_say(tmp_path: Path) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    config = BackboneConfig(NAME, "random", mean=mean, std=std)
    backbone = FrozenBackbone(config)
    assert (backbone.mean, backbone.std) == (mean, std)
    plain = spec_of(FeatureSettings(BackboneConfig(NAME, "random")))
    assert spec_of(FeatureSettings(config)).fingerprint != plain.fingerprint


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with the weights of a small network of timm."""
    timm = pytest.importorskip("timm")
    repository = tmp_path / "hub" / "models--timm--mobilenetv3_small_050.lamb_in1k"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "snapshots" / "abc").mkdir(parents=True)
    blob = repository / "blobs" / "w"
    torch.manual_seed(0)
    save_file(timm.create_model("mobilenetv3_small_050").state_dict(), blob)
    blob = blob.rename(blob.with_name(sha256(blob)))
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc" / "model.safetensors").symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return blob


def test_timm_weights_are_those_of_the_hub_and_checked(hub: Path) -> None:
    config = BackboneConfig("timm:mobilenetv3_small_050.lamb_in1k")
    made = spec_of(FeatureSettings(config))
    assert made.weights_sha256 == hub.name
    from safetensors.torch import load_file

    state, expected = build_model(config).state_dict(), load_file(hub)
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    content = bytearray(hub.read_bytes())
    content[-1] ^= 1
    hub.write_bytes(content)
    with pytest.raises(ActionRNNError, match="its SHA-256 begins with"):
        spec_of(FeatureSettings(config))
