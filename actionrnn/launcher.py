"""Which part of a work that several processes share is this one's: what their launcher says."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionrnn.errors import UsageError

# Index and number of the processes of one start. Where several launchers are nested (torchrun or
# mpirun within a Slurm job), the innermost counts, which stands first.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
# Of torchrun, Open MPI, Intel MPI and MPICH, and Slurm; the innermost of nested ones first.
LOCAL_RANKS = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
ARRAY_ID, ARRAY_COUNT = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"
ARRAY_FIRST, ARRAY_STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"


@dataclass(frozen=True)
class Share:
    """The `index`-th of `count` parts, 0 <= index < count, and what says so."""

    index: int
    count: int
    source: str

    @property
    def part(self) -> tuple[int, int]:
        """Index and count."""
        return self.index, self.count


def share_of_launcher(environment: Mapping[str, str] = os.environ) -> Share | None:
    """The part of a process of torchrun, `mpirun` or `srun`; None if it is alone.

    Raises:
        UsageError: for numbers that cannot be.
    """
    share = _started_with_others(environment)
    return share if share is not None and share.count > 1 else None


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Number of this process among those that its launcher started on this machine, from 0."""
    return next((int(environment[name]) for name in LOCAL_RANKS if name in environment), 0)


def share_of_job(environment: Mapping[str, str] = os.environ) -> Share:
    """The part of a process of a Slurm job array, or of a launcher, or of a launcher in an array.

    Raises:
        UsageError: if nothing says which part it is, or for numbers that cannot be.
    """
    array, mates = _of_array(environment), _started_with_others(environment)
    if array is None and mates is None:
        raise UsageError(
            "--shard auto: nothing here says which share is this process's: no Slurm job array "
            f"({ARRAY_ID}), no torchrun (RANK), mpirun (OMPI_COMM_WORLD_RANK, PMI_RANK) or srun "
            "(SLURM_PROCID); give --shard i/n, or leave it out to do all of the work"
        )
    if array is None or mates is None:
        share = array or mates
        assert share is not None
        return share
    return Share(
        array.index * mates.count + mates.index,
        array.count * mates.count,
        f"{array.source}, {mates.source}",
    )


def parse_share(text: str) -> Share:
    """`i/n`, counted from 0 as job arrays do: `0/4` ... `3/4`; `auto` asks the launcher.

    Raises:
        ValueError: if it is neither.
        UsageError: see `share_of_job`.
    """
    if text == "auto":
        return share_of_job()
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"--shard {text!r}: wanted i/n with 0 <= i < n, such as 0/4, or auto")
    return Share(int(index), int(count), "--shard")


def was_requeued(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Slurm starts this job anew, after it was preempted, or its node had failed."""
    return environment.get("SLURM_RESTART_COUNT", "0") != "0"


def refuse_several(verb: str, instead: str, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a verb whose work cannot be shared, where its command was started several times.

    Args:
        verb: which.
        instead: what to do, for the message.
        environment: of the process.

    Raises:
        UsageError: naming the launcher.
    """
    if (share := share_of_launcher(environment)) is not None:
        raise UsageError(
            f"{verb} was started {share.count} times ({share.source}), and each would do all of "
            f"the work: {instead}"
        )


def slurm_script(words: Sequence[str], num_tasks: int, num_cores: int) -> str:
    """A Slurm job array whose tasks share the work of a command, for `sbatch`.

    Args:
        words: the command after `actionrnn`; it must know `--shard auto`.
        num_tasks: of the array.
        num_cores: of each task.
    """
    command = shlex.join([sys.executable, "-m", "actionrnn", *words, "--shard", "auto"])
    return f"""#!/bin/bash
#SBATCH --job-name=actionrnn-{words[0]}
#SBATCH --array=0-{num_tasks - 1}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={num_cores}
#SBATCH --mem-per-cpu=3G
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={words[0]}-%A_%a.log
# Add what your cluster wants: --partition, --account, --time, --gres=gpu:1.
# A task may be killed and requeued at any moment: what it has published stays, and it goes on.
set -euo pipefail
cd {shlex.quote(str(Path.cwd()))}
exec {command}
"""


def _of_array(environment: Mapping[str, str]) -> Share | None:
    if ARRAY_ID not in environment or ARRAY_COUNT not in environment:
        return None
    task, count = _number(environment, ARRAY_ID), _number(environment, ARRAY_COUNT)
    first = _number(environment, ARRAY_FIRST) if ARRAY_FIRST in environment else 0
    step = _number(environment, ARRAY_STEP) if ARRAY_STEP in environment else 1
    index, rest = divmod(task - first, max(step, 1))
    if rest or not 0 <= index < count:
        raise UsageError(
            f"--shard auto: {ARRAY_ID} {task} is not one of {count} tasks from {first} on in steps "
            f"of {step}; take an unbroken range, such as --array=0-{max(count, 1) - 1}"
        )
    return Share(index, count, f"{ARRAY_ID} {task}")


def _started_with_others(environment: Mapping[str, str]) -> Share | None:
    for rank, world in LAUNCHERS:
        if rank not in environment or world not in environment:
            continue
        index, count = _number(environment, rank), _number(environment, world)
        # A batch script itself sees how many tasks `srun` would start, and is none of them.
        if world == "SLURM_NTASKS" and "SLURM_JOB_ID" in environment and count > 1:
            return None
        if index >= count:
            raise UsageError(f"{rank} {index} is not one of {world} {count}, counted from 0")
        return Share(index, count, f"{rank} {index} of {world} {count}")
    return None


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not text.isdecimal():
        raise UsageError(f"{name} is {text!r}; a number from 0 on was expected of the launcher")
    return int(text)
