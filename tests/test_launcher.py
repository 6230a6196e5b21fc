"""Which part of a shared work is whose: as torchrun, MPI and Slurm say, or an error."""

import subprocess
from itertools import product

import pytest

from actionrnn.cli import main
from actionrnn.errors import UsageError
from actionrnn.launcher import (
    Share,
    parse_share,
    refuse_several,
    share_of_job,
    share_of_launcher,
    slurm_script,
)

ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "5"}
STEP = {"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}
BATCH = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"RANK": "1", "WORLD_SIZE": "4"}, (1, 4)),
        ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, (3, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, (0, 2)),
        ({"SLURM_PROCID": "3", **STEP}, (3, 8)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 8)),
        ({"RANK": "1", "WORLD_SIZE": "16", "SLURM_PROCID": "0", **STEP}, (1, 16)),
        ({"PMI_RANK": "5", "PMI_SIZE": "6", **BATCH}, (5, 6)),
    ],
)
def test_every_launcher_says_which_part_is_this_ones(
    environment: dict[str, str], part: tuple[int, int]
) -> None:
    for share in (share_of_launcher(environment), share_of_job(environment)):
        assert share is not None
        assert share.part == part
        assert all(name in environment for name in share.source.split() if name.isupper())


def test_alone_is_no_share() -> None:
    for environment in ({}, {"RANK": "0", "WORLD_SIZE": "1"}, {"RANK": "3"}, ARRAY):
        assert share_of_launcher(environment) is None
    assert share_of_launcher(BATCH) is None, "a batch script is none of its tasks"


def test_a_job_array_shares_the_work_by_itself_and_with_its_steps() -> None:
    share = share_of_job(ARRAY)
    assert share == Share(2, 4, "SLURM_ARRAY_TASK_ID 7")
    assert share_of_job({**ARRAY, **BATCH}).part == (2, 4)
    by_tens = {"SLURM_ARRAY_TASK_STEP": "10", "SLURM_ARRAY_TASK_ID": "35"}
    assert share_of_job({**ARRAY, **by_tens}).part == (3, 4)
    parts = [
        share_of_job({**ARRAY, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_PROCID": str(rank), **STEP})
        for task, rank in product(range(5, 9), range(8))
    ]
    assert [each.part for each in parts] == [(index, 32) for index in range(32)]
    assert parts[-1].source == "SLURM_ARRAY_TASK_ID 8, SLURM_PROCID 7 of SLURM_STEP_NUM_TASKS 8"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "nothing here says which share is this process's"),
        (BATCH, "nothing here says which share is this process's"),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK 4 is not one of WORLD_SIZE 4, counted from 0"),
        ({"PMI_RANK": "-1", "PMI_SIZE": "4"}, "PMI_RANK is '-1'; a number from 0 on"),
        ({"RANK": "1", "WORLD_SIZE": "many"}, "WORLD_SIZE is 'many'"),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "9"}, "take an unbroken range, such as --array=0-3"),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "4"}, "SLURM_ARRAY_TASK_ID 4 is not one of 4 tasks"),
        ({**ARRAY, "SLURM_ARRAY_TASK_STEP": "3"}, "from 5 on in steps of 3"),
    ],
)
def test_what_cannot_be_is_refused(environment: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        share_of_job(environment)


def test_a_share_is_written_as_job_arrays_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_share("0/4").part == (0, 4)
    for wrong in ("4/4", "1", "a/b", "-1/4", "1/0", "automatic"):
        with pytest.raises(ValueError, match="wanted i/n with 0 <= i < n"):
            parse_share(wrong)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert parse_share("auto").part == (2, 3)


def test_work_that_cannot_be_shared_is_not_done_several_times() -> None:
    refuse_several("sweep", "start it once", ARRAY)
    with pytest.raises(UsageError, match=r"sweep was started 4 times \(RANK 1 .*: start it once"):
        refuse_several("sweep", "start it once", {"RANK": "1", "WORLD_SIZE": "4"})


def test_the_script_of_a_job_array_is_one_that_bash_takes() -> None:
    script = slurm_script(["extract", "--data.root", "with space/$x"], num_tasks=5, num_cores=3)
    assert script.startswith("#!/bin/bash\n#SBATCH ")
    assert "#SBATCH --array=0-4\n" in script
    assert "#SBATCH --cpus-per-task=3\n" in script
    assert "#SBATCH --requeue\n" in script
    assert "extract --data.root 'with space/$x' --shard auto\n" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("command", ["folds", "sweep", "compare"])
def test_verbs_of_many_runs_say_that_they_are_started_once(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert main([command, "--config", "demo_lstm"]) == 2
    error = capsys.readouterr().err
    assert f"{command} was started 2 times (SLURM_PROCID 1 of SLURM_STEP_NUM_TASKS 2)" in error
    assert "start it once" in error
