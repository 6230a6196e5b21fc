"""`actionrnn demo`: the whole path on the embedded dataset, through the real command line."""

import io
import json
import shlex
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from actionrnn.cli import main as actionrnn
from actionrnn.commands.parsing import usage_errors
from actionrnn.errors import ActionRNNError
from actionrnn.training.run_folder import new_run_folder

TAKES_VERB = False
EXPERIMENTS = ("demo_lstm", "demo_gru", "demo_mean_pool")


def main(arguments: list[str]) -> int:
    """Render, extract, train an LSTM, a GRU and an order-blind baseline, and compare them."""
    parser = ArgumentParser(prog="actionrnn demo", exit_on_error=False)
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the videos go")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs go")
    with usage_errors(parser):
        options = parser.parse_args(arguments)
    started = time.perf_counter()
    root = options.data / "synthetic"
    if not (root / "manifest.csv").is_file():
        run(["prepare", "synthetic", "--root", str(root)])
    results = [train_and_test(name, root, options.runs) for name in EXPERIMENTS]
    print_comparison(results, time.perf_counter() - started)
    print_next_steps(root, results[0]["folder"])
    return 0


def run(words: list[str]) -> None:
    """Show one command and run it, as if it had been typed.

    Raises:
        ActionRNNError: if it fails (it has said why).
    """
    print(f"\n$ actionrnn {shlex.join(words)}", file=sys.stderr, flush=True)
    if code := actionrnn(words):
        raise ActionRNNError(f"`actionrnn {words[0]}` ended with exit code {code}; see above")


def train_and_test(name: str, root: Path, runs: Path) -> dict[str, Any]:
    """Fit and test one experiment; returns its figures."""
    folder = new_run_folder(str(runs), name)
    config = config_folder() / "experiment" / f"{name}.yaml"
    run(["fit", "--config", str(config), "--data.root", str(root), "--run.folder", str(folder)])
    with redirect_stdout(io.StringIO()):  # one table of all heads follows
        run(["test", "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")])
    metrics = json.loads((folder / "metrics.json").read_text())
    seconds = json.loads((folder / "fit.json").read_text())["seconds"]
    return {**metrics, "name": name, "folder": folder, "seconds": seconds}


def config_folder() -> Path:
    """The `configs` folder of this checkout.

    Raises:
        ActionRNNError: if actionrnn was installed without it.
    """
    folder = Path(__file__).parents[2] / "configs"
    if not folder.is_dir():
        raise ActionRNNError(
            "the demo needs the configs/ folder of a checkout: clone the project and run "
            "`make demo` there"
        )
    return folder


def print_comparison(results: list[dict[str, Any]], seconds: float) -> None:
    """One table of all heads."""
    titles = {
        "demo_lstm": "LSTM",
        "demo_gru": "GRU",
        "demo_mean_pool": "mean pool",
    }
    table = Table(
        "head",
        "accuracy",
        "macro accuracy",
        "parameters",
        "training seconds",
        title=f"test split, {int(results[0]['num_clips'])} clips, "
        f"{len(results[0]['per_class'])} classes in time-reversed pairs",
        title_justify="left",
    )
    for result in results:
        table.add_row(
            titles[result["name"]],
            f"{result['accuracy']:.3f}",
            f"{result['macro_accuracy']:.3f}",
            f"{result['num_parameters']:,}",
            f"{result['seconds']:.1f}",
        )
    console = Console(highlight=False)
    console.print()
    console.print(table)
    console.print(
        "Both classes of a pair have the same frames in opposite order. Mean pooling is\n"
        "blind to order: it can find the pair, and then has to guess."
    )
    print(f"\nall of it took {seconds:.0f} s", file=sys.stderr)


def print_next_steps(root: Path, folder: Path) -> None:
    """The three commands to try now."""
    video = sorted((root / "videos").rglob("*.mp4"))[0]
    checkpoint = folder / "checkpoints" / "best.ckpt"
    binary = ".venv/bin/actionrnn" if Path(".venv/bin/actionrnn").is_file() else "actionrnn"
    print(
        "\nNext, try:\n"
        f"  {binary} predict --ckpt_path {checkpoint} --videos {video}\n"
        f"  {binary} fit --config configs/experiment/demo_lstm.yaml --model.cell gru "
        "--model.bidirectional true\n"
        f"  {binary} prepare folder --source YOUR_VIDEOS --root data/mine"
    )
