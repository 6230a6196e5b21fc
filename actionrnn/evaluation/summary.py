"""`metrics.json`, and the tables that `test` and `validate` print."""

from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from actionrnn.evaluation.auc import weighted_auroc
from actionrnn.evaluation.bootstrap import (
    LEVEL,
    NUM_DRAWS,
    Interval,
    Tallies,
    draw_weights,
    group_ids,
    interval,
)
from actionrnn.evaluation.calibration import expected_calibration_error
from actionrnn.evaluation.predictions import Predictions
from actionrnn.training.metrics import AUC_MAX_CLASSES

HEADLINES = {
    "accuracy": "clip accuracy (top-1)",
    "view_accuracy": "view accuracy (each view alone)",
    "top5_accuracy": "top-5 accuracy",
    "macro_accuracy": "macro accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC (ROC, one-vs-rest)",
    "ece": "calibration error (ECE)",
}
FEW_GROUPS = 20
CLASSES_SHOWN = 30


def tallies_of(scored: Predictions) -> Tallies:
    """Sums over groups, from which the figures of any set of groups follow."""
    return Tallies.of(
        scored.view_logits(), scored.logits(), scored.targets(), group_ids(scored.table)
    )


def headline_keys(scored: Predictions) -> list[str]:
    """The headline figures that say something about this table.

    Top-5 needs more than five classes; view accuracy differs from clip accuracy only where a
    clip has several views; AUC needs clips of two classes, and not too many classes.
    """
    several_views = int(scored.about["num_views"]) > 1
    dropped = {"top5_accuracy"} if len(scored.class_names) <= 5 else set()
    dropped |= set() if several_views else {"view_accuracy"}
    has_auc = scored.table["label"].nunique() > 1 and len(scored.class_names) <= AUC_MAX_CLASSES
    dropped |= set() if has_auc else {"auc"}
    return [key for key in HEADLINES if key not in dropped]


def headline_figures(
    scored: Predictions, weights_RG: Tensor, group_N: Tensor | None = None
) -> dict[str, Tensor]:
    """The headline figures of a table under every weighting of its groups, (R,) each.

    Args:
        weights_RG: how often each group counts; ones give the figures of the table itself.
        group_N: group of each clip; None is `group_ids` of the table.
    """
    groups_N = group_ids(scored.table) if group_N is None else group_N
    logits_NK, target_N = scored.logits(), scored.targets()
    tallies = Tallies.of(scored.view_logits(), logits_NK, target_N, groups_N)
    figures = tallies.figures(weights_RG[:, : len(tallies.clips_G)])
    keys = headline_keys(scored)
    if "auc" in keys:
        figures["auc"] = weighted_auroc(logits_NK, target_N, groups_N, weights_RG)
    return {key: figures[key] for key in keys}


def summarise(scored: Predictions) -> dict[str, Any]:
    """Every figure of a predictions table as plain data, with 95 % intervals over groups.

    `intervals` are `[low, high]`, or null with fewer than two groups. `view_accuracy` is there
    only where clips have several views.
    """
    tallies = tallies_of(scored)
    num_groups = len(tallies.clips_G)
    draws = headline_figures(scored, draw_weights(num_groups)) if num_groups > 1 else {}
    keys = headline_keys(scored)
    figures: dict[str, Any] = {
        **scored.metrics(),
        "ece": expected_calibration_error(scored.logits(), scored.targets()),
    }
    if "view_accuracy" in keys:
        once_1G = torch.ones(1, num_groups, dtype=torch.float64)
        figures["view_accuracy"] = tallies.figures(once_1G)["view_accuracy"].item()
    found = {key: interval(draws[key], num_groups) if draws else None for key in keys}
    return {
        "subset": scored.table["split"].iloc[0],
        "leaked": scored.leaked,
        **figures,
        "num_groups": num_groups,
        "num_views": int(scored.about["num_views"]),
        "intervals": {key: list(value) if value else None for key, value in found.items()},
        "bootstrap": {"level": LEVEL, "draws": NUM_DRAWS, "unit": "group", "seed": 0},
        "temperature": scored.about["temperature"],
        "num_parameters": scored.about.get("num_parameters"),
        "per_class": per_class(scored, tallies),
    }


def per_class(scored: Predictions, tallies: Tallies) -> list[dict[str, Any]]:
    """For every class: clips, groups, accuracy (recall) with interval, precision, F1."""
    num_groups = len(tallies.clips_G)
    bounds: list[Interval | None] = [None] * len(scored.class_names)
    groups_K = (tallies.support_GK > 0).sum(dim=0).tolist()
    if num_groups > 1:
        draws_RK = tallies.recall(draw_weights(num_groups))
        bounds = [interval(draws_RK[:, k], groups) for k, groups in enumerate(groups_K)]
    support_K, hits_K = tallies.support_GK.sum(dim=0).tolist(), tallies.hits_GK.sum(dim=0).tolist()
    predicted_K = tallies.predicted_GK.sum(dim=0).tolist()
    return [
        {
            "label": name,
            "clips": int(support_K[k]),
            "groups": groups_K[k],
            "accuracy": hits_K[k] / support_K[k] if support_K[k] else None,
            "interval": list(bound) if bound else None,
            "precision": hits_K[k] / predicted_K[k] if predicted_K[k] else None,
            "f1": 2 * hits_K[k] / (support_K[k] + predicted_K[k]) if support_K[k] else None,
        }
        for k, (name, bound) in enumerate(zip(scored.class_names, bounds, strict=True))
    ]


def plain_console() -> Console:
    """A console for results: what stands in brackets or colons in a class name stays text."""
    return Console(highlight=False, markup=False, emoji=False)


def print_summary(summary: dict[str, Any]) -> None:
    """Print the figures of `summarise` on stdout."""
    console = plain_console()
    table = Table("figure", "value", "95 % interval", title=_title(summary), title_justify="left")
    for key, bounds in summary["intervals"].items():
        table.add_row(HEADLINES[key], f"{summary[key]:.3f}", shown_interval(bounds))
    console.print(table)
    console.print(interval_note(summary))
    _print_classes(console, summary["per_class"])
    if summary["leaked"]:
        console.print(
            "LEAKED: training and test share recordings; these figures are not a "
            "measure of generalisation",
            style="bold red",
        )


def _title(summary: dict[str, Any]) -> str:
    views = f", {summary['num_views']} views each" if summary["num_views"] > 1 else ""
    unreadable = int(summary["num_unreadable"])
    return (
        f"{summary['subset']}: {int(summary['num_clips'])} clips{views}, "
        f"{summary['num_groups']} groups"
        + (f", {unreadable} unreadable and counted wrong" if unreadable else "")
    )


def shown_interval(bounds: list[float] | Interval | None) -> str:
    """`0.712 to 0.804`, or a dash."""
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "-"


def interval_note(summary: dict[str, Any]) -> str:
    """What the intervals rest on, and when to distrust them."""
    groups = summary["num_groups"]
    if groups < 2:
        return "no intervals: all clips are one group, and one recording says nothing of others"
    note = f"intervals: {NUM_DRAWS} bootstrap samples of the {groups} groups (recordings)"
    return note + (f"; with fewer than {FEW_GROUPS} they are rough" if groups < FEW_GROUPS else "")


def _print_classes(console: Console, rows: list[dict[str, Any]]) -> None:
    title = "per class"
    if len(rows) > CLASSES_SHOWN:
        rows = sorted((row for row in rows if row["clips"]), key=lambda row: row["accuracy"])
        title = f"the {CLASSES_SHOWN} worst of {len(rows)} classes; all are in metrics.json"
    table = Table(
        "class", "clips", "accuracy", "95 % interval", "F1", title=title, title_justify="left"
    )
    for row in rows[:CLASSES_SHOWN]:
        numbers = ["-" if row[key] is None else f"{row[key]:.3f}" for key in ("accuracy", "f1")]
        bounds = shown_interval(row["interval"])
        table.add_row(row["label"], str(row["clips"]), numbers[0], bounds, numbers[1])
    console.print(table)
