"""What this process may use of the machine."""

import os
import threading
import time
from collections.abc import Mapping

import torch

from actionrnn.errors import UsageError
from actionrnn.launcher import local_rank


def num_cores(environment: Mapping[str, str] = os.environ) -> int:
    """Cores for this process: those it may run on, shared with its siblings on this machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // int(environment.get("LOCAL_WORLD_SIZE", 1)))


def choose_device(device: str, environment: Mapping[str, str] = os.environ) -> str:
    """`auto` is a GPU where there is one: of several processes on a machine, each its own.

    Raises:
        UsageError: for a GPU that is not there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"--device {device}: there is no GPU here that PyTorch {torch.__version__} can use; "
            f"leave it out to take what there is"
        )
    if device != "auto":
        return device
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{local_rank(environment) % torch.cuda.device_count()}"


class Busy:
    """What `num_threads` threads do with their time: each does its work inside `with busy:`."""

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self.seconds = 0.0
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._own = threading.local()

    def share(self) -> float:
        """Part of their time that they have been at work, 0 to 1."""
        elapsed = time.monotonic() - self._started
        return self.seconds / max(elapsed * self.num_threads, 1e-9)

    def __enter__(self) -> None:
        self._own.since = time.monotonic()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.seconds += time.monotonic() - self._own.since
