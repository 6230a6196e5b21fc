"""What `actionrnn folds --space FILE` does first: a fold's settings, chosen inside the fold."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrnn.commands.sweep import Sweep, best_trial, search
from actionrnn.commands.sweep_results import OBJECTIVE, trials_table
from actionrnn.errors import UsageError
from actionrnn.files import publish_json
from actionrnn.progress import tell
from actionrnn.report.run_tables import print_top
from actionrnn.training.inner import save_inner_folds
from actionrnn.training.settings import Settings, changed, recipe_of


@dataclass(frozen=True)
class FoldChoice:
    """The value of every setting of the space, and their mean macro accuracy over inner folds."""

    settings: dict[str, Any]
    score: float


def choose(
    settings: Settings,
    column: str,
    folder: Path,
    space: dict[str, Any],
    num_trials: int,
    num_inner: int,
    quiet: bool = False,
) -> FoldChoice:
    """The settings that do best in cross-validation over a fold's train and val clips.

    The sweep reads a manifest of its own, which has no test clip of the fold in it.

    Args:
        settings: of a `folds` command; its seed is that of the inner folds, the trials and the
            search.
        column: the fold, such as `split1`.
        folder: for the inner manifest and the sweep; one that was broken off there goes on.
        space: what to choose, see `search_space.parse_space`.
        num_trials: see `search`.
        num_inner: inner folds, by group.
        quiet: print no table of the trials (one of many).

    Raises:
        UsageError: if the folder holds a choice by other settings.
        ActionRNNError: if the clips do not make so many folds, or no trial gives a score.
    """
    inner = save_inner_folds(settings, column, folder / "inner", num_inner)
    recipe = recipe_of(changed(settings, {**inner.changes, "trainer.logger": False}))
    sweep = Sweep(str(folder), recipe, inner.columns, space, False)
    file = folder / "sweep.json"
    if file.exists() and json.loads(file.read_text()) != sweep.record():
        raise UsageError(f"{file} is of other settings; take another --run.folder")
    publish_json(file, sweep.record())
    tell(f"{column}: choosing settings by {num_inner} inner folds")
    study = search(sweep, num_trials)
    if not quiet:
        print_top(trials_table(study), [f"{num_inner} inner folds of {column}"], OBJECTIVE)
    best = best_trial(study)
    tell(f"{column} takes {' '.join(f'--{key}={value}' for key, value in best.params.items())}")
    return FoldChoice(best.params, best.value)
