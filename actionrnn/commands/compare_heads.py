"""`actionrnn compare --config ...`: every cell and control on one store; cost and accuracy."""

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jsonargparse import ArgumentParser

from actionrnn.commands import repeat
from actionrnn.commands.config import setting
from actionrnn.commands.folds import run_fold
from actionrnn.commands.parsing import usage_errors
from actionrnn.commands.split_columns import chosen_columns
from actionrnn.diagnosis.cost import CELLS, CONTROLS, cells_by_length, measure_costs
from actionrnn.errors import UsageError, near_miss
from actionrnn.evaluation.comparison import compare
from actionrnn.evaluation.folds import mean_over_folds
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.files import publish_json
from actionrnn.models.config import HeadConfig
from actionrnn.report.run_tables import print_heads, print_lengths

HEADS = (*CELLS, *CONTROLS)
FIGURES = ("accuracy", "macro_accuracy", "auc")


def main(arguments: list[str]) -> int:
    """Train and test the heads, measure them; or measure cells at some lengths; or both."""
    options, words = _parser().parse_known_args(arguments)
    has_data = setting("data.root", words) is not None
    if not has_data and not options.lengths:
        raise UsageError("compare what? Give two run folders, --config FILE, or --lengths 16,64")
    result: dict[str, Any] = {"device": options.device, "threads": torch.get_num_threads()}
    if has_data:
        result |= compare_heads(options, words)
    if options.lengths:
        result["lengths"] = compare_lengths(options, words)
    if options.json:
        print(json.dumps(result))
    if has_data:
        folder = Path(result["folder"])
        publish_json(folder / "compare.json", result)
        pd.DataFrame(result["heads"]).to_csv(folder / "compare.csv", index=False)
        print(f"written: {folder / 'compare.json'}, {folder / 'compare.csv'}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actionrnn compare",
        usage="actionrnn compare RUN_A RUN_B ...\n"
        "       actionrnn compare --config FILE [--heads ...] [every setting of fit]\n"
        "       actionrnn compare --lengths 16,64,256,1024 [--model... settings]",
        description=(
            "Of run folders: is B better than A by more than noise? With a config: trains and "
            "tests heads on one feature store, one run folder each, and prints parameters, "
            "multiply-adds, ms per clip, epochs, and accuracy with a 95 % interval over groups. "
            "With --lengths: ms per clip of every cell on synthetic features."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--heads", default=",".join(HEADS), help="a part of: %(default)s")
    parser.add_argument("--splits", help="the mean over these columns: all, or split1,split2")
    parser.add_argument("--lengths", help="frames a clip, as in 16,64,256,1024")
    parser.add_argument("--feature_dim", type=int, default=512, help="of --lengths (512)")
    parser.add_argument("--clips", type=int, default=16, help="a batch of --lengths (16)")
    parser.add_argument("--device", default="cpu", help="where milliseconds are measured (cpu)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of tables")
    return parser


def compare_heads(options: argparse.Namespace, words: list[str]) -> dict[str, Any]:
    """Train, test and measure every head; plain data, printed as a table unless JSON is wanted."""
    names = options.heads.split(",")
    for name in names:
        if name not in HEADS:
            raise UsageError(
                f"--heads {name}: one of {', '.join(HEADS)}{near_miss(name, [*HEADS])}"
            )
    columns = chosen_columns(options.splits, words)
    folder = repeat.folder_of(words, "compare")
    runs = {name: _train(name, words, columns, folder / name) for name in names}
    tables = {
        name: [Predictions.load(run["folder"]) for run in found] for name, found in runs.items()
    }
    reference = _reference(names, words)
    costs = _costs({name: Path(found[0]["folder"]) for name, found in runs.items()}, options.device)
    rows = [
        {
            "head": name,
            **costs[name],
            "epochs": statistics.fmean(run["epochs"] for run in runs[name]),
            "train_seconds": statistics.fmean(run["seconds"] for run in runs[name]),
            **_scores(tables[name], tables[reference]),
        }
        for name in names
    ]
    result: dict[str, Any] = {
        "folder": str(folder),
        "columns": columns,
        "subset": "test",
        "reference": reference,
    }
    result["heads"] = rows
    if not options.json:
        print_heads(result, options.device)
    return result


def _reference(names: list[str], words: list[str]) -> str:
    """The head that the others are compared with: the config's own, else the first."""
    head = setting("model.head", words) or "recurrent"
    own = (setting("model.cell", words) or "lstm") if head == "recurrent" else head
    return own if own in names else names[0]


def _train(name: str, words: list[str], columns: list[str], folder: Path) -> list[dict[str, Any]]:
    """Fit and test one head on every split column with every seed."""
    print(f"\n{name}", file=sys.stderr)
    kind = ["--model.head=recurrent", f"--model.cell={name}"] if name in CELLS else []
    words = [*words, *(kind or [f"--model.head={name}"])]
    runs = []
    for column in columns:
        where = folder / column if len(columns) > 1 else folder
        runs += repeat.over_seeds(words, where, partial(run_fold, column, words))
    return [
        {**json.loads((run["folder"] / "fit.json").read_text()), "folder": run["folder"]}
        for run in runs
    ]


def _costs(folders: dict[str, Path], device: str) -> dict[str, dict[str, Any]]:
    """Each head's cost on the first training batch (views and order are those of epoch 0)."""
    models = {
        name: TrainedModel.load(folder / "checkpoints" / "best.ckpt")
        for name, folder in folders.items()
    }
    batch = next(iter(next(iter(models.values())).data.loader("train", train=True)))
    found = measure_costs(
        {name: model.recognizer.head.to(device) for name, model in models.items()},
        batch.features_BVTD[:, 0].to(device),
        batch.lengths_BV[:, 0].to(device),
        batch.target_B.to(device),
    )
    return {name: asdict(cost) for name, cost in found.items()}


def _scores(tables: list[Predictions], first: list[Predictions]) -> dict[str, Any]:
    means = mean_over_folds(tables)
    found: dict[str, Any] = {}
    for key in FIGURES:
        if key in means:
            low, high = means[key].interval or (None, None)
            found |= {key: means[key].value, f"{key}_low": low, f"{key}_high": high}
            found[f"{key}_no_interval"] = means[key].missing
    if tables is first:
        return {**found, "against_reference": ""}
    paired = compare(first, tables, ("the reference", "this head")).figures["accuracy"]
    return {**found, "against_reference": paired.verdict}


def compare_lengths(options: argparse.Namespace, words: list[str]) -> dict[str, Any]:
    """What every cell costs at every length; plain data, printed unless JSON is wanted."""
    try:
        lengths = [int(word) for word in options.lengths.split(",")]
    except ValueError:
        raise UsageError(f"--lengths {options.lengths}: whole numbers, as in 16,64,256") from None
    config = _head_config(words)
    found = cells_by_length(config, lengths, options.feature_dim, options.clips, options.device)
    if not options.json:
        print_lengths(found, config, options.feature_dim, options.clips, options.device)
    return {
        str(length): {cell: asdict(cost) for cell, cost in costs.items()}
        for length, costs in found.items()
    }


def _head_config(words: list[str]) -> HeadConfig:
    """The head settings of a command line; those of data and training are left aside."""
    parser = ArgumentParser(prog="actionrnn compare", exit_on_error=False)
    parser.add_class_arguments(HeadConfig, "model")
    given = {name: setting(f"model.{name}", words) for name in HeadConfig.__dataclass_fields__}
    flags = [f"--model.{name}={value}" for name, value in given.items() if value is not None]
    with usage_errors(parser):
        parsed = parser.parse_args(flags)
    return HeadConfig(**parsed.model.as_dict())
