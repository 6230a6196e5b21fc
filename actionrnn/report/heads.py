"""The tables of `compare --config` and `compare --lengths`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Column, Table

from actionrnn.diagnosis.cost import Cost
from actionrnn.diagnosis.heads import HeadResult
from actionrnn.models.config import HeadConfig
from actionrnn.report.terminal import plain_console


def row_of(head: HeadResult) -> dict[str, Any]:
    """One row of `compare.json` and `compare.csv`."""
    figures: dict[str, float | None] = {}
    for key, figure in head.figures.items():
        low, high = figure.interval or (None, None)
        figures |= {key: figure.value, f"{key}_low": low, f"{key}_high": high}
    return {
        "head": head.head,
        **vars(head.cost),
        "epochs": head.epochs,
        "train_seconds": head.train_seconds,
        **figures,
        "against_reference": head.against_reference,
    }


def print_heads(
    heads: Sequence[HeadResult], columns: Sequence[str], reference: str, device: str
) -> None:
    """What each head costs, and what it scores."""
    costs = Table(
        Column("head", no_wrap=True), "parameters", "MACs", "train ms", "infer ms", "epochs",
        "train s",
    )  # fmt: skip
    scores = Table(
        Column("head", no_wrap=True), "accuracy", "95 %", "AUC", "95 %", f"vs {reference}"
    )
    for head in heads:
        costs.add_row(
            head.head, f"{head.cost.parameters:,}", _short(head.cost.multiply_adds),
            f"{head.cost.train_ms:.3f}", f"{head.cost.inference_ms:.3f}", f"{head.epochs:g}",
            f"{head.train_seconds:.1f}",
        )  # fmt: skip
        scores.add_row(
            head.head, *_shown(head, "accuracy"), *_shown(head, "auc"), head.against_reference
        )
    console = plain_console()
    console.print(costs)
    console.print(
        "MACs: multiply-adds of the head for one clip\n"
        f"ms: per clip of a batch on {device}, a training step and a forward pass, medians"
    )
    console.print(scores)
    console.print(
        f"test clips of {', '.join(columns)}; 95 %: over groups (recordings)\n"
        f"vs: accuracy on the same clips is better, worse, or the difference is noise"
    )


def print_lengths(
    found: Mapping[int, Mapping[str, Cost]],
    config: HeadConfig,
    feature_dim: int,
    num_clips: int,
    device: str,
) -> None:
    """What each cell costs, by length in frames."""
    cells = list(next(iter(found.values())))
    console = plain_console()
    for title, field in (("training step", "train_ms"), ("inference", "inference_ms")):
        table = Table("frames", *cells, title=f"{title}, ms per clip", title_justify="left")
        for length, costs in found.items():
            table.add_row(str(length), *(f"{getattr(costs[cell], field):.3f}" for cell in cells))
        console.print(table)
    console.print(
        f"synthetic features of {feature_dim}, {config.hidden_size} units, "
        f"{config.num_layers} layer(s), {num_clips} clips a batch, on {device}; medians of turns"
    )


def _shown(head: HeadResult, key: str) -> tuple[str, str]:
    """A figure and its interval."""
    if key not in head.figures:
        return "-", "-"
    figure = head.figures[key]
    bounds = figure.interval
    return f"{figure.value:.3f}", f"{bounds.low:.3f}-{bounds.high:.3f}" if bounds else "-"


def _short(number: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)
