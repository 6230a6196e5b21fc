"""Progress is shown on stderr, and what it is of passes through unchanged."""

import sys

import pytest

from actionrnn.progress import byte_progress


@pytest.mark.parametrize("total", [None, 4])
@pytest.mark.parametrize("on_terminal", [False, True])
def test_bytes_pass_through(
    total: int | None,
    on_terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal, raising=False)
    assert list(byte_progress(iter([b"a", b"bc"]), "fetching x.zip", total, done=1)) == [
        b"a",
        b"bc",
    ]
    said = capsys.readouterr()
    assert not said.out
    assert "fetching x.zip" in said.err
