"""The folder of one run: `runs/<name>/<time>/` with everything needed to trust and repeat it."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from lightning_fabric.utilities.rank_zero import rank_zero_only

from actionrnn.errors import ActionRNNError
from actionrnn.files import is_unfinished, publish_json

LOCK = ".lock"
RESULTS = ("fit.json", "seeds.json", "folds.json", "compare.json", "sweep.json")
PARTS = {"checkpoints", "tensorboard", "diagnostics", "explanations", "timelines"}
PARTS |= {"config.yaml", "env.json", "fit.json", "report.html", "events.json"}
CHOOSING = "choosing"  # of a refit: the run, or inner folds, before it
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


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the one of several that writes its files."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or broken off, or several runs of one command."""
    return any((folder / name).is_file() for name in RESULTS) or any(
        (folder / "checkpoints").glob("*.ckpt")
    )


def newest_checkpoint(folder: Path) -> Path | None:
    """What a run is gone on with: `last.ckpt`, or the only one saved before it was broken off."""
    files = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    return next((file for file in files if file.is_file()), None)


class StartedFolder:
    """The folder of a run that is about to start: locked, and as it was if nothing comes of it.

    Args:
        folder: the run's; made, with its parents, if it is not there.

    Raises:
        ActionRNNError: if another process trains there.
        OSError: if it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK, mode=0o644)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            holder = (folder / LOCK).read_text().strip() or "process unknown"
            raise ActionRNNError(
                f"{folder}: a run is being trained here ({holder}); wait for it, or stop it, or "
                f"take another --run.folder"
            ) from None
        (folder / LOCK).write_text(f"process {os.getpid()} on {platform.node()}\n")
        self._before = self._files()

    def _files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.name != LOCK}

    def clear(self) -> None:
        """Remove what an earlier run left in the folder, and nothing else."""
        for path in self._before:
            if path.is_file() and _is_of_a_run(path.relative_to(self.folder)):
                path.unlink()

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed while it wrote has left."""
        for path in self.folder.rglob(".*"):
            if is_unfinished(path.name):
                path.unlink(missing_ok=True)

    def undo(self) -> None:
        """Remove everything that came into the folder since, and the folder if it was new."""
        for path in sorted(self._files() - self._before, reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        self.release()
        for folder in self._made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def release(self) -> None:
        """Let others train here."""
        if self._lock.is_locked:
            (self.folder / LOCK).unlink(missing_ok=True)
            self._lock.release()


def _is_of_a_run(path: Path) -> bool:
    """Whether a path, relative to a run folder, is what this project writes there."""
    results = len(path.parts) == 1 and path.name.startswith(("predictions", "metrics"))
    return results or path.parts[0] in PARTS


def describe_environment(command: list[str]) -> dict[str, Any]:
    """Versions, machine and the exact command, for `env.json`."""
    return {
        "command": command,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": _devices(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "actionrnn": installed_version("actionrnn"),
        "git": _git_commit(),
    }


def _devices() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def installed_version(name: str) -> str | None:
    """Of a package; None if it is not installed."""
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
