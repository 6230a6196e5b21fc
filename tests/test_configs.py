"""Every shipped config builds, says what it needs, and leaves nothing of another behind."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from torchvision.models import get_model_weights, list_models

from actionrnn.cli import main
from actionrnn.commands.config import laid_on, read_yaml
from actionrnn.commands.prepare import RECIPES
from actionrnn.commands.run_settings import settings_of
from actionrnn.commands.search_space import parse_space
from actionrnn.datasets import PREPARERS
from actionrnn.training.recognizer import ActionRecognizer
from actionrnn.training.settings import Settings, parsed, recipe_of
from actionrnn.training.trainer import build

CONFIGS = Path(__file__).parents[1] / "configs"
DATA = sorted((CONFIGS / "data").glob("*.yaml"))
EXPERIMENTS = sorted((CONFIGS / "experiment").glob("*.yaml"))
LOGGERS = sorted((CONFIGS / "logger").glob("*.yaml"))
SWEEPS = sorted((CONFIGS / "sweep").glob("*.yaml"))


def name(path: Path) -> str:
    return path.stem


def built(*words: str) -> Settings:
    """The settings of a command line, which can be built."""
    settings = settings_of("fit", list(words))
    build(settings)
    return settings


def test_no_config_is_forgotten() -> None:
    tested = [*DATA, *EXPERIMENTS, *LOGGERS, *SWEEPS]
    assert sorted(CONFIGS.rglob("*.yaml")) == sorted(tested)
    assert len(tested) >= 5


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_every_experiment_builds(path: Path) -> None:
    config = built("--config", str(path))
    assert config.run.name == path.stem
    assert f"configs/experiment/{path.name}" in path.read_text(), "the header shows the command"


@pytest.mark.parametrize("path", SWEEPS, ids=name)
@pytest.mark.parametrize("chosen", [0, -1])
def test_every_sweep_is_of_settings_that_there_are(path: Path, chosen: int) -> None:
    text = path.read_text()
    (config,) = re.findall(r"--config (\S+)", text)
    assert f"--space configs/sweep/{path.name}" in text, "the header shows the command"
    space = parse_space(read_yaml(str(path)))
    settings = {name: entry.examples[chosen] for name, entry in space.items()}
    found = built(
        "--config",
        str(CONFIGS.parent / config),
        *(f"--{name}={value}" for name, value in settings.items()),
    )
    for name, value in settings.items():
        assert found[name] == value


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_every_experiment_says_what_to_expect(path: Path) -> None:
    header = path.read_text().partition("run:")[0].replace("base: demo_lstm.yaml\n", "")
    assert all(line.startswith("#") for line in header.splitlines())
    said = " ".join(header.replace("#", "").split())
    expected = said.partition("Expected accuracy:")[2]
    assert re.match(r" (\d\.\d{3}.*measured|not measured here|yours to measure)", expected)
    published = re.search(r"Published.*?\d\d\.?\d?", expected)
    assert not published or "arXiv" in expected, "a published figure names its source"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_every_recipe_can_be_had(path: Path) -> None:
    """The network and its weights are torchvision's; the head is one that can be built."""
    config = laid_on({}, str(path))
    backbone = config["features"]["backbone"]
    assert backbone["name"] in list_models()
    known = {weights.name for weights in get_model_weights(backbone["name"])} | {"DEFAULT"}
    assert backbone.get("weights", "DEFAULT") in known | {"random"}
    model = ActionRecognizer(**config.get("model", {}))
    model.build(8, ["a", "b"])


def test_every_dataset_has_a_recipe() -> None:
    """`prepare` names it, so it must be there."""
    for dataset in PREPARERS:
        recipe = CONFIGS / "experiment" / f"{RECIPES.get(dataset, dataset)}.yaml"
        assert recipe in EXPERIMENTS, f"{dataset} has no {recipe.name}"


@pytest.mark.parametrize("path", LOGGERS, ids=name)
def test_every_logger_parses_and_names_the_package_it_needs(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--config", str(CONFIGS / "experiment" / "demo_gru.yaml"), "--config", str(path)]
    assert f"--config configs/logger/{path.name}" in path.read_text(), (
        "the header shows the command"
    )
    if importlib.util.find_spec(path.stem):
        settings = yaml.safe_load(path.read_text())["trainer"]["logger"]["init_args"]
        found = built(*words).trainer.logger.init_args
        assert {key: found[key] for key in settings} == settings
    else:
        assert main(["fit", *words, f"--run.folder={tmp_path}"]) == 1
        assert f"not installed: pip install '{path.stem}>=" in capsys.readouterr().err


@pytest.mark.parametrize("path", DATA, ids=name)
def test_every_dataset_replaces_the_demos_wholly(path: Path) -> None:
    other = str(CONFIGS / "experiment" / "demo_lstm.yaml")
    changed = ["--data.split=split3", "--data.sampler=balanced"]
    config = built("--config", other, "--data", str(path), "--model.cell", "gru")
    wanted = yaml.safe_load(path.read_text())
    assert config.data.as_dict() == parsed({"data": wanted}, []).data.as_dict()
    assert config.model.cell == "gru"
    assert built("--config", other, "--data", str(path), *changed).data.split == "split3"


@pytest.mark.parametrize("path", [*DATA, *EXPERIMENTS], ids=name)
def test_config_files_hold_only_what_differs_from_the_defaults(path: Path) -> None:
    own = yaml.safe_load(path.read_text())
    own = {"data": own} if path in DATA else own
    under = laid_on({}, str(path.parent / own.pop("base"))) if "base" in own else {}
    defaults = flat(recipe_of(parsed(under)))
    for key, value in flat(own).items():
        if key in ("data.root", "features.backbone.name", "model.cell"):  # what it is about
            continue
        assert key not in defaults or defaults[key] != value, f"{path.name}: {key} says nothing"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in config.items():
        found |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found
