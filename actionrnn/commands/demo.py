"""`actionrnn demo`: the whole path on the embedded dataset, as its commands do it."""

import shlex
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.commands.run_settings import settings_of
from actionrnn.datasets.synthetic.prepare import prepare
from actionrnn.evaluation.experiment import Tested, fit_and_test
from actionrnn.progress import tell
from actionrnn.training.run_folder import new_run_folder

TAKES_VERB = False
HEADS = {"demo_lstm": "LSTM", "demo_gru": "GRU", "demo_mean_pool": "mean pool"}


def main(arguments: list[str]) -> int:
    """Render, extract, train an LSTM, a GRU and an order-blind baseline, and compare them."""
    parser = verb_parser("demo")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the videos go")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs go")
    options = options_of(parser, arguments)
    started = time.perf_counter()
    root = options.data / "synthetic"
    if not (root / "manifest.csv").is_file():
        _show(["prepare", "synthetic", "--root", str(root)])
        prepare(None, root)
    results = {name: train_and_test(name, root, options.runs) for name in HEADS}
    print_comparison(results, time.perf_counter() - started)
    print_next_steps(root, results["demo_lstm"].folder)
    return 0


def train_and_test(name: str, root: Path, runs: Path) -> Tested:
    """Fit and test one experiment, and show the commands that do the same."""
    folder = new_run_folder(str(runs), name)
    words = ["--config", name, "--data.root", str(root), "--run.folder", str(folder)]
    _show(["fit", *words])
    tested = fit_and_test(settings_of("fit", words), folder)
    _show(["test", "--ckpt_path", str(tested.best)])
    return tested


def _show(words: list[str]) -> None:
    tell(f"\n$ actionrnn {shlex.join(words)}")


def print_comparison(results: dict[str, Tested], seconds: float) -> None:
    """One table of all heads."""
    summary = next(iter(results.values())).summary
    columns = ("head", "accuracy", "macro accuracy", "parameters", "training seconds")
    title = (
        f"test split, {summary.num_clips} clips, "
        f"{len(summary.per_class)} classes in time-reversed pairs"
    )
    table = Table(*columns, title=title, title_justify="left")
    for name, result in results.items():
        table.add_row(
            HEADS[name],
            f"{result.summary.metrics['accuracy']:.3f}",
            f"{result.summary.metrics['macro_accuracy']:.3f}",
            f"{result.fitted.num_parameters:,}",
            f"{result.fitted.seconds:.1f}",
        )
    console = Console(highlight=False)
    console.print()
    console.print(table)
    console.print(
        "Both classes of a pair have the same frames in opposite order. Mean pooling is\n"
        "blind to order: it can find the pair, and then has to guess."
    )
    tell(f"\nall of it took {seconds:.0f} s")


def print_next_steps(root: Path, run: Path) -> None:
    """The commands to try now."""
    video = shlex.quote(str(sorted((root / "videos").rglob("*.mp4"))[0]))
    binary = ".venv/bin/actionrnn" if Path(".venv/bin/actionrnn").is_file() else "actionrnn"
    where = shlex.quote(str(run))
    print(
        "\nNext, try:\n"
        f"  {binary} report {where}\n"
        f"  {binary} explain {video} --ckpt_path {where}\n"
        f"  {binary} predict {video} --ckpt_path {where}\n"
        f"  {binary} prepare folder --source my_videos --root data/mine"
    )
