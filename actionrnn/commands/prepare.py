"""`actionrnn prepare NAME --source ... --root ...`: a dataset becomes a manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actionrnn.commands.parsing import import_function, job_of, options_of, spelled_out, verb_parser
from actionrnn.datasets import PREPARERS
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.source.locate import SourceNeeded
from actionrnn.files import check_writable
from actionrnn.places import refuse_remote
from actionrnn.progress import tell

TAKES_VERB = False
RECIPES = {
    **{"synthetic": "demo_lstm", "fights": "fights_gru", "folder": "own", "csv": "own"},
    "segments": "timelines",
    **dict.fromkeys(("kinetics600", "kinetics700"), "kinetics400"),
}
"""Experiment config of the datasets that have none of their own name."""


def main(arguments: list[str]) -> int:
    """Prepare one dataset, show its class counts, and say what to run next."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: actionrnn prepare NAME [--source PATH] [--root DIR] ...\n\nNAME is one of\n")
        print("\n".join(f"  {name}" for name in PREPARERS))
        print("\nactionrnn prepare NAME --help shows the settings of one")
        return 0 if arguments else 2
    name, rest = job_of(arguments, PREPARERS, "dataset")
    prepare: Callable[..., Manifest] = import_function(PREPARERS[name])
    options = parse_options(name, prepare, rest)
    root = options.pop("root")
    refuse_remote("--root", root, "a dataset is prepared")
    check_writable(root)
    try:
        manifest = prepare(root=root, **options)
    except SourceNeeded as needed:
        if options.get("download"):
            raise
        print(needed)  # where to get the files: what was asked for, not an error
        return 0
    features = options.get("features")
    if not features and options.get("check_files", True) and manifest.timelines is None:
        from actionrnn.diagnosis.shortcuts import find_shortcuts  # takes seconds to import

        shortcuts = find_shortcuts(manifest)
        tell(f"{'warning' if shortcuts.found else 'note'}: {shortcuts.verdict}")
    unit, recipe = "clips", RECIPES.get(name, name)
    if manifest.timelines is not None:
        unit, recipe = "recordings", "timelines"
    tell(
        f"written: {root / 'manifest.csv'} ({len(manifest.table)} {unit}, "
        f"{len(manifest.class_names)} classes, splits: {', '.join(manifest.splits)})\n"
        + (
            f"next: actionrnn features import {features} --root {root} --name {features.name}"
            if features
            else next_command(name, recipe, root, len(manifest.splits))
        )
    )
    return 0


def next_command(name: str, recipe: str, root: Path, num_splits: int) -> str:
    """The command that trains a recipe on the dataset."""
    words = f"--config {recipe} --data {name} --data.root {root}"
    folds = f"\n      actionrnn folds {words}    (all {num_splits} splits, mean and spread)"
    return f"next: actionrnn fit {words}{folds if num_splits > 1 else ''}"


def parse_options(name: str, prepare: Callable[..., Any], arguments: list[str]) -> dict[str, Any]:
    """The keyword arguments of one dataset's `prepare`, from its signature and docstring."""
    parser = verb_parser(f"prepare {name}")
    parser.add_function_arguments(prepare, skip={"source", "root"})
    parser.add_argument("--source", type=Path | None, default=None, help="folder or archive")
    parser.add_argument("--root", type=Path, default=Path("data", name), help="where it goes")
    return dict(options_of(parser, spelled_out(parser, arguments)).items())
