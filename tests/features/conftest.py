"""Decoding happens in this process, where a test does not ask for `real_decoders` (2 s each)."""

from typing import Any

import pytest

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
