"""What this process may use of the machine, and which share of the work is its own."""

import os
import threading
import time
from collections.abc import Mapping

import torch

from actionrnn.errors import UsageError


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
    rank = int(environment.get("LOCAL_RANK", environment.get("SLURM_LOCALID", 0)))
    return f"cuda:{rank % torch.cuda.device_count()}"


def shard_of_environment(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """The share `(i, n)`, 0 <= i < n, of a process of torchrun or `srun`; None if it is alone.

    SLURM_NTASKS is no sign of company: a batch script sees it too, outside of any `srun`.
    """
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        if rank in environment and world in environment:
            share = int(environment[rank]), int(environment[world])
            return share if share[1] > 1 else None
    return None


def parse_shard(text: str) -> tuple[int, int]:
    """`i/n`, counted from 0 as job arrays do: `0/4` ... `3/4`.

    Raises:
        ValueError: if it is not.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"--shard {text!r}: wanted i/n with 0 <= i < n, such as 0/4")
    return int(index), int(count)


class Busy:
    """What `num_threads` threads do with their time: each does its work inside `with busy:`.

    Args:
        num_threads: how many there are.
    """

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
