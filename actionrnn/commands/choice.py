"""What `actionrnn folds --space FILE` does first: a fold's settings, chosen inside the fold."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actionrnn.commands.config import setting
from actionrnn.commands.search_space import parse_space
from actionrnn.commands.sweep import Sweep, as_words, best_trial, import_optuna, search
from actionrnn.commands.sweep_results import OBJECTIVE, trials_table
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.splits import inner_folds
from actionrnn.errors import UsageError
from actionrnn.files import publish_json
from actionrnn.report.run_tables import print_top
from actionrnn.training.data import ActionDataModule


def choose(
    arguments: list[str],
    column: str,
    folder: Path,
    space: dict[str, Any],
    num_trials: int,
    num_inner: int,
    seed: int,
) -> tuple[dict[str, Any], float]:
    """The settings that do best in cross-validation over a fold's train and val clips.

    The sweep reads a manifest of its own, which has no test clip of the fold in it.

    Args:
        arguments: the words of a `folds` command.
        column: the fold, such as `split1`.
        folder: for the inner manifest and the sweep; one that was broken off there goes on.
        space: what to choose, see `parse_space`.
        num_trials: see `search`.
        num_inner: inner folds, by group.
        seed: of the inner folds, of the trials and of the search.

    Returns:
        The value of every setting of the space, and their mean macro accuracy over inner folds.

    Raises:
        UsageError: if the folder holds a choice by other settings.
        ActionRNNError: if the clips do not make so many folds, or no trial gives a score.
    """
    import_optuna()
    parse_space(space)
    root, features_dir = (setting(f"data.{name}", arguments) for name in ("root", "features_dir"))
    data = ActionDataModule(root, features_dir=features_dir)
    inner = inner_folds(Manifest.load(data.root), column, num_inner, seed)
    where = folder / "inner"
    inner.save(where)
    words = [*arguments, f"--data.root={where}", f"--data.features_dir={data.features_dir}"]
    sweep = Sweep(str(folder), words, inner.splits, space, False, seed)
    file = folder / "sweep.json"
    if file.exists() and json.loads(file.read_text()) != asdict(sweep):
        raise UsageError(f"{file} is of other settings; take another --run.folder")
    publish_json(file, asdict(sweep))
    print(f"{column}: choosing settings by {num_inner} inner folds", file=sys.stderr)
    study = search(sweep, num_trials)
    print_top(trials_table(study), [f"{num_inner} inner folds of {column}"], OBJECTIVE)
    best = best_trial(study)
    print(f"{column} takes {' '.join(as_words(best.params))}", file=sys.stderr)
    return best.params, best.value
