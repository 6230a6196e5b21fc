"""Fixtures of the features room."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from actionrnn.datasets.manifest import Manifest


@pytest.fixture
def copied(tiny_data: Path, tmp_path: Path) -> Callable[[slice], Manifest]:
    """Copies some clips of the tiny dataset to a folder of their own, with a manifest."""

    def copy(rows: slice) -> Manifest:
        whole = Manifest.load(tiny_data)
        table = whole.table.iloc[rows].reset_index(drop=True)
        for path in table["path"]:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tiny_data / path, tmp_path / path)
        manifest = Manifest(tmp_path, table, whole.class_names)
        manifest.save()
        return manifest

    return copy
