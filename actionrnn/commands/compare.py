"""`actionrnn compare`: paired differences between runs, or heads trained and measured."""

from pathlib import Path

from actionrnn.commands.parsing import import_function, options_of, verb_parser
from actionrnn.errors import UsageError
from actionrnn.evaluation.paired import compare, short_names
from actionrnn.evaluation.predictions import Predictions
from actionrnn.launcher import refuse_several
from actionrnn.report.run_screens import comparison_screen
from actionrnn.report.terminal import print_found
from actionrnn.training.named_runs import run_of

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Compare every further run with the first; settings instead of runs: train the heads."""
    settings = [word for word in arguments if word.startswith("-") and word != "--json"]
    if arguments and not settings:
        return compare_runs(arguments)
    refuse_several("compare", "start it once; its heads are trained one after another")
    # Only this half needs Lightning, which takes seconds to import.
    code: int = import_function("actionrnn.commands.heads:main")(arguments)
    return code


def compare_runs(arguments: list[str]) -> int:
    """Print the paired differences of every further run to the first."""
    parser = verb_parser("compare")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders or predictions.parquet")
    parser.add_argument("--json", action="store_true", help="one JSON object a comparison")
    options = options_of(parser, arguments)
    if len(options.runs) < 2:
        raise UsageError("compare needs two runs or more: actionrnn compare RUN_A RUN_B")
    runs = [run_of(str(path)) for path in options.runs]
    tables = [Predictions.load(path) for path in runs]
    names = short_names(runs)
    for table, name in zip(tables[1:], names[1:], strict=True):
        comparison = compare([tables[0]], [table], (names[0], name))
        print_found(comparison.to_dict(), comparison_screen(comparison), options.json)
    return 0
