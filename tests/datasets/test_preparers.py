"""What the command line relies on: every dataset's `prepare` explains itself."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actionrnn.datasets import PREPARERS

CONFIGS = Path(__file__).parents[2] / "configs" / "data"


@pytest.mark.parametrize("name", PREPARERS)
def test_every_setting_is_typed_and_explained(name: str) -> None:
    module, _, function = PREPARERS[name].partition(":")
    prepare = getattr(importlib.import_module(module), function)
    parameters = list(inspect.signature(prepare).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["source", "root"]
    documentation = inspect.getdoc(prepare) or ""
    for parameter in parameters:
        assert parameter.annotation is not inspect.Parameter.empty
        assert re.search(rf"^ {{4}}{parameter.name}: ", documentation, re.M), parameter.name
    for parameter in parameters[2:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty


@pytest.mark.parametrize("name", PREPARERS)
def test_every_dataset_has_a_config(name: str) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    assert f"root: $ACTIONRNN_DATA/{name}" in text
    assert f"actionrnn prepare {name}" in text


def test_the_names_are_known_without_importing_the_datasets() -> None:
    code = (
        "import sys, actionrnn.datasets\n"
        "assert not [m for m in sys.modules if m.startswith('actionrnn.datasets.')]\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
