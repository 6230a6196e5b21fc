"""`actionrnn folds --config ...`: fit and test every fold of a dataset, then mean and spread."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actionrnn.commands.fold_settings import FoldChoice, choose
from actionrnn.commands.run_settings import settings_with_data, split_columns
from actionrnn.commands.search_space import read_space
from actionrnn.commands.sweep import NUM_TRIALS, TRIALS_HELP, check_space, import_optuna
from actionrnn.commands.sweep_results import OBJECTIVE
from actionrnn.errors import when_interrupted
from actionrnn.evaluation.experiment import (
    Tested,
    fit_and_test,
    folder_of_many,
    over_seeds,
    seeds_of,
    spread,
)
from actionrnn.evaluation.folds import ensemble, mean_over_folds
from actionrnn.evaluation.intervals import Figure
from actionrnn.evaluation.predictions import Predictions
from actionrnn.files import publish_json
from actionrnn.launcher import refuse_several
from actionrnn.progress import tell
from actionrnn.report.run_tables import print_folds
from actionrnn.training.settings import Settings, changed

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Everything `fit` takes; one run folder per split column below one folder."""
    options, words = _parser().parse_known_args(arguments)
    refuse_several("folds", "start it once, or start one `actionrnn fit --data.split ...` a fold")
    settings = settings_with_data(words)
    if settings.refit is None:
        settings = changed(settings, {"refit": True})
    seeds_of(settings)
    columns = split_columns(settings)
    folder = folder_of_many(settings, "folds")
    kept = (
        f"what was finished is kept in {folder}; the same command with --run.folder {folder} goes "
        f"on with its choice of settings, and fits the folds anew"
    )
    with when_interrupted(kept):
        return _fit_folds(options, settings, columns, folder)


def _fit_folds(
    options: argparse.Namespace, settings: Settings, columns: list[str], folder: Path
) -> int:
    chosen = choose_settings(options, settings, columns, folder) if options.space else {}
    runs = {}
    for column in columns:
        tell(f"\n{column}")
        picked = {"inner": 0, **chosen[column].settings} if chosen else {}
        fold = changed(settings, {"data.split": column, **picked})
        runs[column] = over_seeds(fold, folder / column, fit_and_test)
    summary = summarise_folds(runs)
    if chosen:
        summary["chosen"] = {
            column: {"settings": choice.settings, f"inner_{OBJECTIVE}": choice.score}
            for column, choice in chosen.items()
        }
    publish_json(folder / "folds.json", summary)
    print_folds(summary)
    tell(f"written: {folder / 'folds.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actionrnn folds",
        usage="actionrnn folds --config FILE [--seeds N] [--space FILE] [every setting of fit]",
        description=(
            "Fits and tests each split column of the manifest (split1, split2, ...) and prints "
            "the mean over them, its 95 % interval over recordings, and the standard deviation: "
            "the protocol of UCF101 and HMDB51 (three splits) and of surveillance fights (five "
            "folds by recording). --seeds N does it N times over, with the spread of the seeds, "
            "and how the N runs of a fold do together, as one model. "
            "Each fold is trained on its training and validation clips, for the number of epochs "
            "that its validation clips choose (--refit false: on its training clips alone), or "
            "--inner K inner folds by group. With --space each fold first chooses its settings, "
            "by cross-validation (--inner 4) over its own training and validation clips. No test "
            "clip is looked at, in any fold's choice."
        ),
        epilog="a command with --space that was broken off goes on with the same --run.folder",
        allow_abbrev=False,
    )
    parser.add_argument("--space", help="YAML of what each fold chooses, as for actionrnn sweep")
    trials = f"of each fold, {TRIALS_HELP} (default: {NUM_TRIALS})"
    parser.add_argument("--trials", type=int, default=NUM_TRIALS, help=trials)
    return parser


def choose_settings(
    options: argparse.Namespace, settings: Settings, columns: list[str], folder: Path
) -> dict[str, FoldChoice]:
    """What each fold chooses by itself from `--space`."""
    import_optuna()
    space = read_space(options.space)
    check_space(space, settings)
    return {
        column: choose(
            settings, column, folder / "choice" / column, space, options.trials, settings.inner or 4
        )
        for column in columns
    }


def summarise_folds(runs: dict[str, list[Tested]]) -> dict[str, Any]:
    """Each fold's figures (mean over seeds), their mean, its interval, and the spreads.

    `sd` is over folds, `intervals` are those of the mean (over groups), and `seeds` holds the
    mean over folds of each seed, with their mean and standard deviation. Of several seeds,
    `together` holds the figures of each fold's ensemble.
    """
    folds = {column: _mean(found) for column, found in runs.items()}
    by_seed = {
        str(found[0].fitted.seed): _mean(found) for found in zip(*runs.values(), strict=True)
    }
    tables = [[Predictions.load(each.folder) for each in found] for found in runs.values()]
    pooled = mean_over_folds([table for fold in tables for table in fold])
    together = mean_over_folds([ensemble(fold) for fold in tables]) if len(by_seed) > 1 else {}
    over_folds = spread(list(folds.values()))
    return {
        "folds": folds,
        "leaked": any(each.summary.leaked for found in runs.values() for each in found),
        **over_folds,
        "intervals": {key: _bounds(pooled[key]) for key in over_folds["mean"]},
        "no_interval": {key: pooled[key].missing for key in over_folds["mean"]},
        "seeds": {"each": by_seed, **spread(list(by_seed.values()))},
        "together": {
            key: {"mean": each.value, "interval": _bounds(each)} for key, each in together.items()
        }
        or None,
    }


def _mean(runs: Iterable[Tested]) -> dict[str, float]:
    return spread([each.summary.metrics for each in runs])["mean"]


def _bounds(figure: Figure) -> list[float] | None:
    return list(figure.interval) if figure.interval else None
