"""A shared folder is the model; it names no machine, runs no code, and says what it is."""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import actionrnn
from actionrnn.cli import main
from actionrnn.errors import ActionRNNError
from actionrnn.export.share import share

spec = importlib.util.spec_from_file_location("hub", Path(__file__).with_name("hub.py"))
assert spec is not None
assert spec.loader is not None
hub_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hub_module)


@pytest.fixture(scope="module")
def shared(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(tiny_run, tmp_path_factory.mktemp("share") / "model", "me/demo", "apache-2.0")


def video_of(root: Path) -> str:
    return str(next((root / "videos").rglob("*.mp4")))


def test_a_shared_folder_predicts_as_the_run(
    shared: Path, tiny_run: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("something was unpickled")

    wanted = actionrnn.load(str(tiny_run / "checkpoints" / "best.ckpt")).predict(
        video_of(tiny_data)
    )
    monkeypatch.setattr(torch, "load", refused)
    monkeypatch.setattr(pickle, "load", refused)
    monkeypatch.setattr(pickle, "loads", refused)
    assert actionrnn.load(str(shared)).predict(video_of(tiny_data)) == wanted


def test_it_names_no_path_of_this_machine(shared: Path, tiny_data: Path) -> None:
    assert {path.name for path in shared.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    for path in shared.iterdir():
        assert str(tiny_data.parent).encode() not in path.read_bytes()


def test_the_card_says_what_it_is(shared: Path, tiny_run: Path) -> None:
    card = (shared / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "actionrnn"
    (found,) = front["model-index"][0]["results"][0]["metrics"]
    assert found["value"] == pytest.approx(metrics["accuracy"], abs=1e-4)
    assert f"| {metrics['accuracy']:.3f} | not measured |" in card, "one group has no interval"
    assert "guessing: macro accuracy 0.100" in card
    assert "hf:me/demo" in card
    assert "weights are random" in card
    assert "LEAKED" not in card


def test_a_leaked_run_says_so_and_boasts_no_figure(tiny_run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(tiny_run, copied)
    metrics = json.loads((copied / "metrics.json").read_text())
    metrics |= {"leaked": True, "accuracy": 0.5, "intervals": {"accuracy": [0.4, 0.6]}}
    (copied / "metrics.json").write_text(json.dumps(metrics))
    order = {
        "conditions": [{"title": "in order", "macro_accuracy": 0.5, "interval": [0.4, 0.6]},
                       {"title": "shuffled", "macro_accuracy": 0.25, "interval": None}],
        "verdict": "Order is used.",
    }  # fmt: skip
    (copied / "diagnostics").mkdir()
    (copied / "diagnostics" / "order.json").write_text(json.dumps(order))
    card = (share(copied, tmp_path / "model") / "README.md").read_text()
    assert "LEAKED" in card
    assert "model-index" not in card
    assert "| 0.500 | 0.400 to 0.600 |" in card
    assert "- in order: macro accuracy 0.500 (0.400 to 0.600)\n" in card
    assert "- shuffled: macro accuracy 0.250\n" in card
    assert "Order is used." in card


def damaged(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def with_backbone(**values: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        about = json.loads((folder / "config.json").read_text())
        about["feature_spec"]["settings"]["backbone"] |= values
        (folder / "config.json").write_text(json.dumps(about))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "not a whole shared model"),
        (damaged("model.safetensors", lambda b: b[:100]), "not a whole shared model"),
        (damaged("model.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1])), "is not the file"),
        (damaged("config.json", lambda b: b[:50]), "damaged"),
        (damaged("config.json", lambda b: b.replace(b'"format": 1', b'"format": 9')), "format 9"),
        (with_backbone(name="os:getcwd"), "code of your own"),
        (with_backbone(weights="/etc/x.safetensors"), "outside of its folder"),
        (with_backbone(weights="x.pth"), "outside of its folder"),
    ],
)
def test_what_is_damaged_or_not_to_be_trusted_is_refused(
    change: Callable[[Path], None], said: str, shared: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "model"
    shutil.copytree(shared, copied)
    change(copied)
    with pytest.raises(ActionRNNError, match=said):
        actionrnn.load(str(copied))


@pytest.mark.slow
def test_a_backbone_known_by_a_file_goes_along(
    tiny_fit: list[str], tiny_data: Path, tmp_path: Path
) -> None:
    from torchvision.models import squeezenet1_1

    weights = tmp_path / "own.pth"
    torch.save(squeezenet1_1().state_dict(), weights)
    words = [word for word in tiny_fit if not word.startswith("--features.backbone.weights")]
    words += [f"--features.backbone.weights={weights}", "--trainer.max_epochs=1"]
    words += [f"--data.features_dir={tmp_path / 'f'}", f"--run.folder={tmp_path / 'run'}"]
    assert main(words) == 0
    wanted = actionrnn.load(str(tmp_path / "run" / "checkpoints" / "best.ckpt")).predict(
        video_of(tiny_data)
    )
    assert main(["share", str(tmp_path / "run"), str(tmp_path / "model")]) == 0
    weights.unlink()
    moved = (tmp_path / "model").rename(tmp_path / "moved")
    assert actionrnn.load(str(moved)).predict(video_of(tiny_data)) == wanted


def test_a_folder_of_neither_runs_nor_a_shared_model_is_refused(
    tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ActionRNNError, match="actionrnn share RUN FOLDER"):
        actionrnn.load(str(tmp_path))
    assert actionrnn.load(str(tiny_run)).class_names
    with pytest.raises(ActionRNNError, match="is there already"):
        share(tiny_run, tmp_path)


@pytest.mark.slow
def test_pushing_and_loading_go_through_the_hub(
    tiny_run: Path, tiny_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra `share`")
    load = f"import actionrnn; print(actionrnn.load('hf:me/demo').predict({video_of(tiny_data)!r}))"
    gone = "import actionrnn; actionrnn.load('hf:me/other')"

    def run(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        environment |= {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", **extra}
        environment.pop("HF_TOKEN", None) if "HF_TOKEN" not in extra else None
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, env=environment
        )

    with hub_module.hub() as (address, repositories):
        push = ["-m", "actionrnn", "share", str(tiny_run), "--push", "me/demo"]
        refused = run(*push, str(tmp_path / "refused"))
        assert refused.returncode == 1
        assert "hf auth login" in refused.stderr
        done = run(*push, str(tmp_path / "model"), HF_TOKEN="hf_test")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "hf:me/demo"
        for path in (tmp_path / "model").iterdir():
            assert repositories["me/demo"][path.name] == path.read_bytes()
        loaded = run("-c", load)
        wanted = actionrnn.load(str(tiny_run / "checkpoints" / "best.ckpt"))
        assert loaded.returncode == 0, loaded.stderr
        assert loaded.stdout.strip() == str(wanted.predict(video_of(tiny_data)))
        assert "there is no such model" in run("-c", gone).stderr
    # The hub is gone: what is in the cache still loads, anything else says what to do.
    assert run("-c", load).stdout == loaded.stdout
    assert "without a network, load a folder" in run("-c", gone).stderr
    assert "wanted owner/name" in run("-c", "import actionrnn; actionrnn.load('hf:demo')").stderr
