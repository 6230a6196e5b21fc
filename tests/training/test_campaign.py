"""A few trials of the campaign over runs; `python tests/campaign_runs.py` makes a hundred."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_runs_survive_what_happens_to_them() -> None:
    script = Path(__file__).parents[1] / "campaign_runs.py"
    command = [sys.executable, str(script), "--trials", "7", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 of 1 survived") == 7
