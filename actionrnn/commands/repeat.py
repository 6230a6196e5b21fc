"""One run after the other: over seeds, splits, heads, trials. They are fitted and tested here."""

import io
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback

from actionrnn.commands.action_cli import run
from actionrnn.commands.config import setting
from actionrnn.errors import UsageError
from actionrnn.files import publish_json
from actionrnn.report.run_tables import FIGURES, print_rows
from actionrnn.training.run_folder import new_run_folder

Row = dict[str, Any]


def fit(
    arguments: list[str],
    folder: Path,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    **settings: Any,
) -> Row:
    """Train one run in its folder; returns what `fit.json` holds.

    Args:
        arguments: the words of a `fit` command.
        folder: made if it is not there.
        callbacks: what else watches the run.
        quiet: say nothing of the run itself.
        settings: on top of the words, `__` for a dot: `data__split="split2"`.
    """
    words = [f"--{name.replace('__', '.')}={value}" for name, value in settings.items()]
    words = [*arguments, *words, "--seeds=1", f"--run.folder={folder}"]
    run("fit", words, callbacks, quiet)
    found: Row = json.loads((folder / "fit.json").read_text())
    return found


def test(folder: Path) -> Row:
    """Score the test clips with a run's best weights; returns what `metrics.json` holds."""
    with redirect_stdout(io.StringIO()):  # the caller prints one table of all runs
        run("test", ["--ckpt_path", str(folder / "checkpoints" / "best.ckpt")])
    found: Row = json.loads((folder / "metrics.json").read_text())
    return found


def num_seeds(arguments: list[str]) -> int:
    """What a command line says of `--seeds`; 1 if nothing.

    Raises:
        UsageError: if it is not a whole number from 1 on.
    """
    given = setting("seeds", arguments)
    if not str(given or 1).isdecimal() or int(given or 1) < 1:
        raise UsageError(f"--seeds {given}: must be a whole number from 1 on")
    return int(given or 1)


def seeds(arguments: list[str]) -> list[int]:
    """The seeds of a command line: as many as `--seeds` says, from `--seed_everything` on."""
    first = setting("seed_everything", arguments)
    if not str(first or 0).isdecimal():
        raise UsageError(f"--seed_everything {first}: with --seeds it must be a whole number")
    return [int(first or 0) + number for number in range(num_seeds(arguments))]


def over_seeds(arguments: list[str], folder: Path, one: Callable[[Path, int], Row]) -> list[Row]:
    """Run `one(folder, seed)` for every seed, in sub-folders where there are several."""
    wanted = seeds(arguments)
    if len(wanted) == 1:
        return [one(folder, wanted[0])]
    rows = []
    for seed in wanted:
        print(f"seed {seed}", file=sys.stderr)
        rows.append(one(folder / f"seed{seed}", seed))
    return rows


def fit_seeds(arguments: list[str]) -> int:
    """`fit --seeds N`: validation figures of the best epochs, their mean and spread."""
    if setting("ckpt_path", arguments):
        raise UsageError("--seeds starts new runs; resume one of them by itself: --ckpt_path")
    folder = folder_of(arguments, "seeds")
    rows = over_seeds(
        arguments, folder, lambda where, seed: fit(arguments, where, seed_everything=seed)
    )
    figures = [row["validation"] for row in rows]
    summary = {
        "subset": "val",
        "seeds": {str(row["seed"]): shown(row["validation"]) for row in rows},
        **spread(figures),
    }
    publish_json(folder / "seeds.json", summary)
    print_rows("seed, validation", summary["seeds"], summary["mean"], summary["sd"])
    print(f"written: {folder / 'seeds.json'}", file=sys.stderr)
    return 0


def folder_of(arguments: list[str], kind: str) -> Path:
    """Where several runs of one command go: `--run.folder`, or `root/name_kind/time`."""
    given = setting("run.folder", arguments)
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given)
    name, root = setting("run.name", arguments), setting("run.root", arguments)
    return new_run_folder(root or "runs", f"{name or 'run'}_{kind}")


def shown(row: Row) -> Row:
    """The figures of a row that tables show."""
    return {key: row[key] for key in FIGURES if row.get(key) is not None}


def spread(rows: Sequence[Row]) -> Row:
    """Mean and sample standard deviation (None of one) of every figure that all rows have."""
    keys = [key for key in FIGURES if all(row.get(key) is not None for row in rows)]
    values = {key: [float(row[key]) for row in rows] for key in keys}
    return {
        "mean": {key: statistics.fmean(values[key]) for key in keys},
        "sd": {key: statistics.stdev(values[key]) if len(rows) > 1 else None for key in keys},
    }
