"""Freed memory waits for its next use, and goes back when told to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actionrnn import memory

FAULTS = """
import resource
import numpy as np
from actionrnn.memory import keep_freed_memory, return_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = min(faults() for _ in range(3))
keep_freed_memory()
faults()
kept = faults()
return_freed_memory()
print(usual, kept, faults())
"""


@pytest.mark.skipif(memory._malloc("mallopt") is None, reason="no glibc")
def test_freed_memory_is_kept_and_returned() -> None:
    """Page faults of 128 MiB tell where its memory comes from."""
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True)
    usual, kept, returned = map(int, found.stdout.split())
    assert kept < 0.1 * usual
    assert returned > 0.5 * usual


def test_systems_without_glibc_do_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", pytest.fail)
    memory.keep_freed_memory()
    memory.return_freed_memory()


def test_memory_is_estimated_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = memory.available_bytes()
    assert 0 < said <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def not_linux(*_: object) -> object:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", not_linux)
    assert memory.available_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_bytes() == 4 * 2**30
