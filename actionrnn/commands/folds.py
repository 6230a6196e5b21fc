"""`actionrnn folds --config ...`: fit and test every fold of a dataset, then mean and spread."""

import io
import json
import statistics
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.table import Table

from actionrnn.cli import main as actionrnn
from actionrnn.commands.config import compose
from actionrnn.commands.lightning import option_value
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.evaluation.folds import mean_over_folds
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import plain_console
from actionrnn.training.data import expand_path
from actionrnn.training.run_folder import new_run_folder, write_json

TAKES_VERB = False
FIGURES = {
    "accuracy": "accuracy",
    "macro_accuracy": "macro accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
}


def main(arguments: list[str]) -> int:
    """Everything `fit` takes; one run folder per split column below one folder."""
    if not arguments or "--help" in arguments or "-h" in arguments:
        print(
            "usage: actionrnn folds --config FILE [every setting of fit]\n\n"
            "Fits and tests each split column of the manifest (split1, split2, ...) and prints\n"
            "the mean and standard deviation over them: the protocol of UCF101 and HMDB51 (three\n"
            "splits) and of surveillance fights (five folds by recording)."
        )
        return 0
    config, rest = compose(arguments)
    given = option_value("--data.root", rest) or config.get("data", {}).get("root")
    if given is None:
        raise UsageError("folds needs a dataset: --config, --data FILE or --data.root DIR")
    name = option_value("--run.name", rest) or config.get("run", {}).get("name", "folds")
    runs = option_value("--run.root", rest) or config.get("run", {}).get("root", "runs")
    columns = Manifest.load(expand_path(given)).splits
    folder = new_run_folder(runs, f"{name}_folds")
    results = [run_fold(column, arguments, folder / column) for column in columns]
    tables = [Predictions.load(folder / column) for column in columns]
    summary = summarise_folds(columns, results, tables)
    write_json(folder / "folds.json", summary)
    print_folds(summary)
    print(f"written: {folder / 'folds.json'}", file=sys.stderr)
    return 0


def run_fold(column: str, arguments: list[str], folder: Path) -> dict[str, Any]:
    """Fit and test one split column; returns its metrics.

    Raises:
        ActionRNNError: if either fails (it has said why).
    """
    print(f"\n{column}", file=sys.stderr)
    best = str(folder / "checkpoints" / "best.ckpt")
    for words in (
        ["fit", *arguments, f"--data.split={column}", f"--run.folder={folder}"],
        ["test", "--ckpt_path", best],
    ):
        with redirect_stdout(io.StringIO()):  # one table of all folds follows
            code = actionrnn(words)
        if code:
            raise ActionRNNError(f"{column}: `actionrnn {words[0]}` ended with code {code}")
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


def summarise_folds(
    columns: list[str], results: list[dict[str, Any]], tables: list[Predictions]
) -> dict[str, Any]:
    """Each fold's figures, their mean, its interval over groups, and the spread of the folds.

    `sd` is the sample standard deviation over folds; `intervals` are those of the mean.
    """
    keys = [key for key in FIGURES if all(key in result for result in results)]
    values = {key: [result[key] for result in results] for key in keys}
    pooled = mean_over_folds(tables)
    return {
        "folds": {c: {key: r[key] for key in keys} for c, r in zip(columns, results, strict=True)},
        "leaked": any(result["leaked"] for result in results),
        "mean": {key: statistics.fmean(values[key]) for key in keys},
        "sd": {key: statistics.stdev(values[key]) if len(results) > 1 else None for key in keys},
        "intervals": {key: pooled[key]["interval"] for key in keys},
    }


def print_folds(summary: dict[str, Any]) -> None:
    """One row a fold, then the mean, its interval and the spread."""
    keys = list(summary["mean"])
    table = Table("fold", *(FIGURES[key] for key in keys))
    for column, figures in summary["folds"].items():
        table.add_row(column, *(f"{figures[key]:.3f}" for key in keys))
    table.add_section()
    table.add_row("mean", *(f"{summary['mean'][key]:.3f}" for key in keys))
    table.add_row("95 % interval", *(_narrow(summary["intervals"][key]) for key in keys))
    if len(summary["folds"]) > 1:
        table.add_row("sd of folds", *(f"{summary['sd'][key]:.3f}" for key in keys))
    console = plain_console()
    console.print(table)
    if summary["leaked"]:
        console.print("LEAKED: training and test share recordings", style="bold red")


def _narrow(bounds: list[float] | None) -> str:
    return f"{bounds[0]:.3f}-{bounds[1]:.3f}" if bounds else "-"
