"""Decoding happens in this process, where a test does not ask for `real_decoders` (2 s each)."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionrnn.datasets.manifest import Manifest
from actionrnn.features import engine
from actionrnn.video.isolate import DecodeWorker


class DecoderHere:
    """Answers as DecodeWorker does, without a process."""

    timeout_seconds = 0.0

    def start(self) -> None:
        pass

    def ask(self, request: Any) -> Any:
        return request.answer()

    def close(self) -> None:
        pass

    def __enter__(self) -> "DecoderHere":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture(autouse=True)
def decoders_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DecodeWorker", DecoderHere)


@pytest.fixture
def real_decoders(decoders_here: None, monkeypatch: pytest.MonkeyPatch) -> type[DecodeWorker]:
    monkeypatch.setattr(engine, "DecodeWorker", DecodeWorker)
    return DecodeWorker


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
