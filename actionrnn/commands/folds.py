"""`actionrnn folds --config ...`: fit and test every fold of a dataset, then mean and spread."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from actionrnn.commands import repeat
from actionrnn.commands.choice import choose
from actionrnn.commands.search_space import read_space
from actionrnn.commands.split_columns import split_columns
from actionrnn.commands.sweep import NUM_TRIALS, TRIALS_HELP, as_words
from actionrnn.commands.sweep_results import OBJECTIVE
from actionrnn.evaluation.folds import ensemble, mean_over_folds
from actionrnn.evaluation.intervals import Figure
from actionrnn.evaluation.predictions import Predictions
from actionrnn.files import publish_json
from actionrnn.report.run_tables import print_folds

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Everything `fit` takes; one run folder per split column below one folder."""
    options, words = _parser().parse_known_args(arguments)
    columns = split_columns(words)
    folder = repeat.folder_of(words, "folds")
    chosen = choose_settings(options, words, columns, folder) if options.space else {}
    runs = {}
    for column in columns:
        settings = chosen[column]["settings"] if chosen else {}
        one = partial(run_fold, column, [*words, *as_words(settings)])
        runs[column] = repeat.over_seeds(words, folder / column, one)
    summary = summarise_folds(runs)
    if chosen:
        summary["chosen"] = chosen
    publish_json(folder / "folds.json", summary)
    print_folds(summary)
    print(f"written: {folder / 'folds.json'}", file=sys.stderr)
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
            "With --space each fold first chooses its settings, by cross-validation over its own "
            "training and validation clips: no test clip is looked at, in any fold's choice."
        ),
        epilog="a command with --space that was broken off goes on with the same --run.folder",
        allow_abbrev=False,
    )
    parser.add_argument("--space", help="YAML of what each fold chooses, as for actionrnn sweep")
    parser.add_argument(
        "--trials",
        type=int,
        default=NUM_TRIALS,
        help=f"of each fold, {TRIALS_HELP} (default: {NUM_TRIALS})",
    )
    parser.add_argument("--inner", type=int, default=4, help="inner folds, by group (default: 4)")
    return parser


def choose_settings(
    options: argparse.Namespace, words: list[str], columns: list[str], folder: Path
) -> dict[str, dict[str, Any]]:
    """What each fold chooses by itself from `--space`, and its score over the inner folds."""
    space, seed = read_space(options.space), repeat.seeds(words)[0]
    chosen = {}
    for column in columns:
        where = folder / "choice" / column
        found = choose(words, column, where, space, options.trials, options.inner, seed)
        chosen[column] = {"settings": found[0], f"inner_{OBJECTIVE}": found[1]}
    return chosen


def run_fold(column: str, arguments: list[str], folder: Path, seed: int) -> dict[str, Any]:
    """Fit and test one split column with one seed; its metrics, and its `folder` and `seed`."""
    print(f"\n{column}", file=sys.stderr)
    repeat.fit(arguments, folder, data__split=column, seed_everything=seed)
    return {**repeat.test(folder), "folder": folder, "seed": seed}


def summarise_folds(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Each fold's figures (mean over seeds), their mean, its interval, and the spreads.

    `sd` is over folds, `intervals` are those of the mean (over groups), and `seeds` holds the
    mean over folds of each seed, with their mean and standard deviation. Of several seeds,
    `together` holds the figures of each fold's ensemble.
    """
    folds = {column: repeat.spread(rows)["mean"] for column, rows in runs.items()}
    by_seed = {
        str(rows[0]["seed"]): repeat.spread(rows)["mean"]
        for rows in zip(*runs.values(), strict=True)
    }
    tables = [[Predictions.load(row["folder"]) for row in rows] for rows in runs.values()]
    pooled = mean_over_folds([table for fold in tables for table in fold])
    together = mean_over_folds([ensemble(fold) for fold in tables]) if len(by_seed) > 1 else {}
    over_folds = repeat.spread(list(folds.values()))
    return {
        "folds": folds,
        "leaked": any(row["leaked"] for rows in runs.values() for row in rows),
        **over_folds,
        "intervals": {key: _bounds(pooled[key]) for key in over_folds["mean"]},
        "no_interval": {key: pooled[key].missing for key in over_folds["mean"]},
        "seeds": {"each": by_seed, **repeat.spread(list(by_seed.values()))},
        "together": {
            key: {"mean": each.value, "interval": _bounds(each)} for key, each in together.items()
        }
        or None,
    }


def _bounds(figure: Figure) -> list[float] | None:
    return list(figure.interval) if figure.interval else None
