"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(
    os.environ.get("ACTIONRNN_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos and weights beside the checkout; tests using it are marked `real`."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data absent: {SHARED_DATA} (set ACTIONRNN_SHARED_DATA)")
    return SHARED_DATA
