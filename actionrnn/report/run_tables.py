"""Several runs as tables on a terminal: seeds, folds, heads, lengths, trials of a sweep."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from rich.table import Column, Table

from actionrnn.diagnosis.cost import Cost
from actionrnn.errors import shown
from actionrnn.models.config import HeadConfig
from actionrnn.report.terminal import plain_console

FIGURES = {
    "accuracy": "accuracy",
    "macro_accuracy": "macro accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
}
TOP = 10
Row = dict[str, Any]


def print_rows(
    title: str,
    rows: dict[str, Row],
    mean: Row,
    sd: Row,
    more: Iterable[tuple[str, dict[str, str]]] = (),
) -> None:
    """A table on stdout: a line a run, then mean, spread and what else there is."""
    keys = list(mean)
    table = Table(title, *(FIGURES[key] for key in keys))
    for name, row in rows.items():
        table.add_row(shown(name), *(f"{row[key]:.3f}" for key in keys))
    table.add_section()
    table.add_row("mean", *(f"{mean[key]:.3f}" for key in keys))
    if len(rows) > 1:
        table.add_row("sd", *(f"{sd[key]:.3f}" for key in keys))
    for name, cells in more:
        table.add_row(name, *(cells.get(key, "- (undefined)") for key in keys))
    plain_console().print(table)


def print_folds(summary: dict[str, Any]) -> None:
    """One row a fold, then the mean, the spread of folds and seeds, and the interval."""
    why = summary["no_interval"]
    lines = {"95 %": {key: _narrow(each, why[key]) for key, each in summary["intervals"].items()}}
    notes = ["sd: over folds; 95 %: of the mean, over recordings"]
    notes += [f"no intervals: {each}" for each in sorted({*why.values()} - {""})]
    if len(summary["seeds"]["each"]) == 1:
        notes.append("one seed: another may differ by as much as recipes do; --seeds 3 shows it")
    if together := summary["together"]:
        sd = summary["seeds"]["sd"]
        lines = {"sd of seeds": {key: f"{value:.3f}" for key, value in sd.items()}, **lines}
        lines["together"] = {key: f"{found['mean']:.3f}" for key, found in together.items()}
        lines["its 95 %"] = {
            key: _narrow(found["interval"], why.get(key) or "undefined")
            for key, found in together.items()
        }
        notes.append("together: a fold's seeds as one model, by their mean probability")
    print_rows("fold, test", summary["folds"], summary["mean"], summary["sd"], lines.items())
    console = plain_console()
    console.print("\n".join(notes))
    if summary["leaked"]:
        console.print("LEAKED: training and test share recordings", style="bold red")


def _narrow(bounds: Sequence[float] | None, missing: str) -> str:
    return f"{bounds[0]:.3f}-{bounds[1]:.3f}" if bounds else f"- ({missing})"


def print_heads(result: dict[str, Any], device: str) -> None:
    """What heads cost, and how good they are."""
    rows = result["heads"]
    costs = Table(
        Column("head", no_wrap=True), "parameters", "MACs", "train ms", "infer ms", "epochs",
        "train s",
    )  # fmt: skip
    scores = Table(
        Column("head", no_wrap=True), "accuracy", "95 %", "AUC", "95 %", f"vs {result['reference']}"
    )
    for row in rows:
        costs.add_row(
            row["head"], f"{row['parameters']:,}", _short(row["multiply_adds"]),
            f"{row['train_ms']:.3f}", f"{row['inference_ms']:.3f}", f"{row['epochs']:g}",
            f"{row['train_seconds']:.1f}",
        )  # fmt: skip
        scores.add_row(
            row["head"], *_shown(row, "accuracy"), *_shown(row, "auc"), row["against_reference"]
        )
    console = plain_console()
    console.print(costs)
    console.print(
        "MACs: multiply-adds of the head for one clip\n"
        f"ms: per clip of a batch on {device}, a training step and a forward pass, medians"
    )
    console.print(scores)
    console.print(
        f"test clips of {', '.join(result['columns'])}; 95 %: over groups (recordings)\n"
        f"vs: accuracy on the same clips is better, worse, or the difference is noise;\n"
        "?: too few groups to tell"
    )


def print_lengths(
    found: dict[int, dict[str, Cost]],
    config: HeadConfig,
    feature_dim: int,
    num_clips: int,
    device: str,
) -> None:
    """Milliseconds a clip of every cell at every length."""
    cells = list(next(iter(found.values())))
    console = plain_console()
    for title, field in (("training step", "train_ms"), ("inference", "inference_ms")):
        table = Table("frames", *cells, title=f"{title}, ms per clip", title_justify="left")
        for length, costs in found.items():
            table.add_row(str(length), *(f"{getattr(costs[cell], field):.3f}" for cell in cells))
        console.print(table)
    console.print(
        f"synthetic features of {feature_dim}, {config.hidden_size} units, "
        f"{config.num_layers} layer(s), {num_clips} clips a batch, on {device}; "
        f"medians of turns"
    )


def print_top(table: pd.DataFrame, columns: list[str], objective: str) -> None:
    """The best trials, one a line, with the settings that differ between them."""
    top = table.head(TOP).dropna(subset=[objective])
    names = [name for name in table.columns if "." in name]
    found = Table(
        "trial", objective.replace("_", " "), "AUC", "s", "settings",
        title=f"best of {len(table)} trials, validation clips of {', '.join(columns)}",
        title_justify="left",
    )  # fmt: skip
    for row in top.to_dict("records"):
        chosen = [(name.rpartition(".")[2], row[name]) for name in names]
        settings = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in chosen
        )
        auc = f"{row['auc']:.3f}" if "auc" in row else "- (undefined)"
        score = f"{row[objective]:.3f}"
        found.add_row(str(row["trial"]), score, auc, str(row["seconds"]), shown(settings))
    plain_console().print(found)


def _shown(row: dict[str, Any], key: str) -> tuple[str, str]:
    """A figure and its interval."""
    if key not in row:
        return "- (undefined)", ""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    bounds = None if low is None else (low, high)
    return f"{row[key]:.3f}", _narrow(bounds, row.get(f"{key}_no_interval", ""))


def _short(number: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)
