"""Which runtime `auto` is, and features of one that is not here any more."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features import resolve
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import Clip, clips_of
from actionrnn.features.resolve import MANY_PICTURES, settings_of, spec_of
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.store import FeatureStore, read_spec
from actionrnn.training.data_checks import check_features
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

pytest.importorskip("openvino")

CONFIG = BackboneConfig("squeezenet1_1", "random")
AUTO = FeatureSettings(CONFIG, Sampling(num_frames=4), Transform(size=64))


@pytest.fixture(scope="module")
def clips(tiny_data: Path) -> list[Clip]:
    """Many."""
    few = clips_of(Manifest.load(tiny_data), AUTO)
    return few * (MANY_PICTURES // (4 * len(few)) + 1)


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "openvino_is_installed", lambda: False)
    monkeypatch.setattr("actionrnn.features.openvino.is_installed", lambda: False)


def test_auto_is_openvino_where_many_pictures_pay_for_its_start(clips: list[Clip]) -> None:
    assert spec_of(AUTO, "cpu", clips).settings.runtime == "openvino"
    assert spec_of(AUTO, "cpu", clips[:99]).settings.runtime == "torch"
    mirrored = replace(AUTO, transform=Transform(size=64, flip=True))
    assert spec_of(mirrored, "cpu", clips[: len(clips) // 2 + 1]).settings.runtime == "openvino"
    assert spec_of(AUTO, "cuda:0", clips).settings.runtime == "torch-bf16"
    asked = replace(AUTO, runtime="torch")
    assert spec_of(asked, "cpu", clips) == spec_of(AUTO, "cpu", clips[:99])
    assert spec_of(replace(asked, runtime="openvino")) == spec_of(AUTO, "cpu", clips)


def test_auto_is_torch_where_the_network_cannot_be_traced(clips: list[Clip]) -> None:
    branching = replace(AUTO, backbone=BackboneConfig(f"{__name__}:branching", "random"))
    assert spec_of(branching, "cpu", clips).settings.runtime == "torch"


class Branching(torch.nn.Module):
    """A network that looks at its values, which no trace can follow."""

    def forward(self, pictures_NCHW: torch.Tensor) -> torch.Tensor:
        return pictures_NCHW.mean((2, 3)) * (1 if pictures_NCHW.sum() > 0 else -1)


def branching() -> torch.nn.Module:
    return Branching()


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_auto_goes_on_with_the_features_that_are_there(
    runtime: str, clips: list[Clip], tmp_path: Path
) -> None:
    made = spec_of(replace(AUTO, runtime=runtime))  # type: ignore[arg-type]
    FeatureStore.create(tmp_path, made)
    for some in (clips, clips[:1]):
        assert spec_of(AUTO, "cpu", some, tmp_path) == made


@pytest.mark.usefixtures("without_openvino")
def test_auto_is_torch_where_openvino_is_not_installed(clips: list[Clip]) -> None:
    assert spec_of(AUTO, "cpu", clips).settings.runtime == "torch"
    with pytest.raises(ActionRNNError, match=r"pip install 'actionrnn\[openvino\]'"):
        spec_of(replace(AUTO, runtime="openvino"))


def test_features_of_a_runtime_that_is_not_here_are_made_by_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = spec_of(replace(AUTO, runtime="openvino"))
    assert settings_of(made).runtime == "openvino"
    monkeypatch.setattr(resolve, "openvino_is_installed", lambda: False)
    settings = settings_of(made)
    assert settings.runtime == "torch"
    said = capsys.readouterr().err
    assert f"{made.runtime} made these features and is not installed here: torch makes" in said
    check_features(made.to_dict(), spec_of(settings))
    assert "features were made with runtime: openvino, here torch" in capsys.readouterr().err
    with pytest.raises(ActionRNNError, match="runtime: openvino, here torch-bf16"):
        check_features(made.to_dict(), spec_of(replace(AUTO, runtime="torch-bf16")))


def test_openvino_computes_on_the_cpu_of_a_machine_with_a_gpu() -> None:
    pictures = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    beside_a_gpu = FrozenBackbone(CONFIG, "cuda:0", "openvino", side=64)
    assert torch.equal(beside_a_gpu(pictures), FrozenBackbone(CONFIG, runtime="openvino")(pictures))


def test_a_network_that_openvino_cannot_convert_says_what_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: object, **__: object) -> object:
        raise RuntimeError("no rule for aten::odd\n\nmany lines")

    monkeypatch.setattr("openvino.convert_model", failing)
    with pytest.raises(ActionRNNError, match=r"aten::odd\); use --features.runtime torch"):
        FrozenBackbone(CONFIG, runtime="openvino")


def test_a_run_over_openvino_features_goes_where_there_is_none(
    tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    features = ["--features.runtime=openvino", f"--data.features_dir={tmp_path / 'features'}"]
    assert main([*tiny_fit, *features, f"--run.folder={tmp_path / 'run'}"]) == 0
    checkpoint = str(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert f"clips to extract into {tmp_path / 'features'} by openvino " in capsys.readouterr().err
    monkeypatch.setattr(resolve, "openvino_is_installed", lambda: False)
    words = ["test", "--ckpt_path", checkpoint, f"--data.features_dir={tmp_path / 'features'}"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "torch makes them" in said
    assert "to extract" in said
    assert {read_spec(each).settings.runtime for each in tmp_path.glob("features/*")} == {
        "torch", "openvino",
    }  # fmt: skip
