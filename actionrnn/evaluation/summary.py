"""`metrics.json` and the table printed by `test` and `validate`."""

from typing import Any

from rich.console import Console
from rich.table import Table

from actionrnn.evaluation.predictions import Predictions
from actionrnn.models.metrics import per_class_accuracy, predictions

HEADLINES = {
    "accuracy": "accuracy (top-1, share of clips)",
    "macro_accuracy": "macro accuracy (mean over classes)",
    "top5_accuracy": "top-5 accuracy",
    "macro_f1": "macro F1",
}


def summarise(scored: Predictions) -> dict[str, Any]:
    """Every figure of a predictions table as plain data."""
    names = scored.class_names
    target_N = scored.targets()
    recall_K = per_class_accuracy(predictions(scored.logits()), target_N, len(names))
    counts_K = target_N.bincount(minlength=len(names))
    return {
        "subset": scored.table["split"].iloc[0],
        "leaked": scored.leaked,
        **scored.metrics(),
        "num_parameters": scored.about.get("num_parameters"),
        "per_class": [
            {"label": name, "clips": int(count), "accuracy": None if count == 0 else float(recall)}
            for name, count, recall in zip(names, counts_K, recall_K, strict=True)
        ],
    }


def print_summary(summary: dict[str, Any]) -> None:
    """Print the figures of `summarise` on stdout."""
    console = Console(highlight=False)
    unreadable = int(summary["num_unreadable"])
    table = Table(
        title=f"{summary['subset']}: {int(summary['num_clips'])} clips"
        + (f", {unreadable} unreadable and counted wrong" if unreadable else ""),
        show_header=False,
        title_justify="left",
    )
    for key, label in HEADLINES.items():
        if key == "top5_accuracy" and len(summary["per_class"]) <= 5:
            continue
        table.add_row(label, f"{summary[key]:.3f}")
    console.print(table)
    per_class = Table("class", "clips", "accuracy", title="per class", title_justify="left")
    for row in summary["per_class"]:
        shown = "-" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
        per_class.add_row(row["label"], str(row["clips"]), shown)
    console.print(per_class)
    if summary["leaked"]:
        console.print(
            "[bold red]LEAKED[/]: training and test share recordings; these figures are not a "
            "measure of generalisation"
        )
