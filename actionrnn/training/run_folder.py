"""The folder of one run: `runs/<name>/<time>/` with everything needed to trust and repeat it."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from actionrnn.files import publish_json

RUN_FOLDER_VARIABLE = "ACTIONRNN_RUN_FOLDER"
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "decord", "av", "numpy")


def new_run_folder(root: str, name: str) -> Path:
    """Make `root/name/time`; the processes that Lightning starts beside this one get the same.

    Raises:
        OSError: if it cannot be made.
    """
    if "LOCAL_RANK" in os.environ and RUN_FOLDER_VARIABLE in os.environ:
        return Path(os.environ[RUN_FOLDER_VARIABLE])
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1000):
        folder = Path(root, name, stamp if attempt == 0 else f"{stamp}_{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        os.environ[RUN_FOLDER_VARIABLE] = str(folder)
        return folder
    raise FileExistsError(f"{Path(root, name, stamp)} and 999 like it exist already")


def run_folder_of(ckpt_path: str | os.PathLike[str]) -> Path:
    """The run folder a checkpoint lies in (`<run>/checkpoints/best.ckpt`), or its own folder."""
    folder = Path(ckpt_path).resolve().parent
    return folder.parent if folder.name == "checkpoints" else folder


def describe_environment(command: list[str]) -> dict[str, Any]:
    """Versions, machine and the exact command, for `env.json`."""
    return {
        "command": command,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": _devices(),
        "packages": {name: _version(name) for name in PACKAGES},
        "actionrnn": _version("actionrnn"),
        "git": _git_commit(),
    }


def _devices() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The checkout's commit, or None outside a checkout or without git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def write_environment(folder: Path, argv: list[str] | None = None) -> None:
    """Write `env.json`, once a run."""
    publish_json(folder / "env.json", describe_environment(argv or sys.argv))
