"""`actionrnn compare --config ...`: every head on one store, cost and accuracy; or cost alone."""

import argparse
import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from actionrnn.commands.config import names_data
from actionrnn.commands.parsing import import_function
from actionrnn.commands.run_settings import chosen_columns, head_of, settings_of
from actionrnn.diagnosis.cost import cells_by_length
from actionrnn.diagnosis.heads import HeadResult, check_names, compare_heads
from actionrnn.diagnosis.recurrence import does_recurrence_help
from actionrnn.errors import UsageError, lasting, when_interrupted
from actionrnn.evaluation.experiment import folder_of_many, seeds_of
from actionrnn.evaluation.predictions import Predictions
from actionrnn.features.spec import BackboneConfig
from actionrnn.files import publish_json
from actionrnn.models.config import HEADS
from actionrnn.progress import tell
from actionrnn.report.run_tables import print_heads, print_lengths
from actionrnn.training.run_folder import run_folder_of
from actionrnn.training.settings import Settings

AS_THEY_ARE = (
    "all with the settings of the recipe: if they were searched for one of the heads, it had the "
    "greater effort; --backbones gives every head as many trials"
)


def main(arguments: list[str]) -> int:
    """Train and test the heads, measure them; or measure cells at some lengths; or both."""
    options, words = _parser().parse_known_args(arguments)
    has_data = names_data(words)
    if options.backbones:
        # Only this needs Optuna.
        result = import_function("actionrnn.commands.backbones:make_table")(options, words)
    elif has_data or options.lengths:
        result = train_heads(options, words) if has_data else {}
        if options.lengths:
            result["lengths"] = compare_lengths(options, words)
    else:
        raise UsageError("compare what? Give two run folders, --config FILE, or --lengths 16,64")
    if options.json:
        print(json.dumps(result))
    return 0


def train_heads(options: argparse.Namespace, words: list[str]) -> dict[str, Any]:
    """Train, test and measure every head; plain data, printed as a table unless JSON is wanted."""
    settings = settings_of("fit", words)
    names = options.heads.split(",") if options.heads else head_names(settings)
    check_names(names)
    seeds_of(settings)
    columns = chosen_columns(options.splits, settings)
    folder = folder_of_many(settings, "compare")
    with when_interrupted(f"the runs that were finished are kept in {folder}"):
        heads, reference = compare_heads(settings, names, columns, folder, options.device)
    result: dict[str, Any] = {
        "device": options.device,
        "folder": lasting(folder),
        "columns": columns,
        "subset": "test",
        "reference": reference,
        "heads": [row_of(head) for head in heads],
    }
    result["does_recurrence_help"] = answers_of(heads, AS_THEY_ARE)
    if not options.json:
        print_heads(result, options.device)
        print("\n".join(result["does_recurrence_help"]))
    publish_json(folder / "compare.json", result)
    pd.DataFrame(result["heads"]).to_csv(folder / "compare.csv", index=False)
    tell(f"written: {folder / 'compare.json'}, {folder / 'compare.csv'}")
    return result


def answers_of(heads: list[HeadResult], effort: str) -> list[str]:
    """Does recurrence help? In words, where there are recurrent heads and controls."""
    tables = {
        head.head: [Predictions.load(run_folder_of(file)) for file in head.checkpoints]
        for head in heads
    }
    return [answer.sentence for answer in does_recurrence_help(tables, effort)]


def head_names(settings: Settings) -> list[str]:
    """Every head that the features have places for."""
    backbone = BackboneConfig(**settings.features.backbone.as_dict())
    is_square = backbone.tokens is None or not backbone.tokens.has_class
    return [
        name
        for name, choice in HEADS.items()
        if (backbone.num_cells > 1 or not choice.needs_places) and (is_square or name != "conv_gru")
    ]


def row_of(head: HeadResult) -> dict[str, Any]:
    """One row of `compare.json` and `compare.csv`."""
    figures: dict[str, Any] = {}
    for key, figure in head.figures.items():
        low, high = figure.interval or (None, None)
        figures |= {key: figure.value, f"{key}_low": low, f"{key}_high": high}
        figures |= {f"{key}_no_interval": figure.missing} if figure.missing else {}
    return {
        "head": head.head,
        **asdict(head.cost),
        "epochs": head.epochs,
        "train_seconds": head.train_seconds,
        **figures,
        "against_reference": head.against_reference,
    }


def compare_lengths(options: argparse.Namespace, words: list[str]) -> dict[str, Any]:
    """What every cell costs at every length; plain data, printed unless JSON is wanted."""
    try:
        lengths = [int(word) for word in options.lengths.split(",")]
    except ValueError:
        raise UsageError(f"--lengths {options.lengths}: whole numbers, as in 16,64,256") from None
    config = head_of(settings_of("fit", words))
    found = cells_by_length(config, lengths, options.feature_dim, options.clips, options.device)
    if not options.json:
        print_lengths(found, config, options.feature_dim, options.clips, options.device)
    return {
        str(length): {cell: asdict(cost) for cell, cost in costs.items()}
        for length, costs in found.items()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actionrnn compare",
        usage="actionrnn compare RUN_A RUN_B ...\n"
        "       actionrnn compare --config FILE [--heads ...] [every setting of fit]\n"
        "       actionrnn compare --config FILE --backbones NAME[=WEIGHTS],... [--trials N]\n"
        "       actionrnn compare --lengths 16,64,256,1024 [--model... settings]",
        description=(
            "Of run folders: is B better than A by more than noise? With a config: trains and "
            "tests heads on one feature store, one run folder each, and prints parameters, "
            "multiply-adds, ms per clip, epochs, and accuracy with a 95 % interval over groups. "
            "With --backbones: the same over several backbones, where every head chooses its "
            "settings in every fold by itself, with as many trials; broken off, it goes on with "
            "the same --run.folder. "
            "With --lengths: ms per clip of every cell on synthetic features."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--heads", help=f"a part of: {','.join(HEADS)} (all that fit the features)")
    parser.add_argument("--splits", help="the mean over these columns: all, or split1,split2")
    backbones = "NAME[=WEIGHTS],...: of torchvision, timm: or `actionrnn recipes`"
    parser.add_argument("--backbones", help=backbones)
    parser.add_argument("--space", help="with --backbones, what each fold chooses (table)")
    parser.add_argument("--trials", type=int, default=24, help="with --backbones, a fold (24)")
    parser.add_argument("--inner", type=int, default=4, help="with --backbones, inner folds (4)")
    parser.add_argument("--lengths", help="frames a clip, as in 16,64,256,1024")
    parser.add_argument("--feature_dim", type=int, default=512, help="of --lengths (512)")
    parser.add_argument("--clips", type=int, default=16, help="a batch of --lengths (16)")
    parser.add_argument("--device", default="cpu", help="where milliseconds are measured (cpu)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of tables")
    return parser
