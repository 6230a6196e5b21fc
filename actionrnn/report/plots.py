"""Screens as matplotlib figures, and the figures of the notebooks; matplotlib is an extra."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.report.confusion import ELSEWHERE, shown_matrix
from actionrnn.report.screen import Chart, Screen, TableView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY, RED = "#3b6fd4", "#9aa3b2", "#d1495b"
TONES = {"a": BLUE, "bad": RED, "none": GREY}
# Lines that coincide are still seen: a dashed one lets the one below through.
LINE_STYLES = ("-", "--", ":", "-.")


def screen_figure(screen: Screen) -> "Figure":
    """Everything of a screen that can be drawn: its charts, and the bars of its tables."""
    charts = [block for block in screen.blocks if isinstance(block, Chart)]
    tables = [block for block in screen.tables if block.bars]
    count = len(charts) + len(tables)
    columns = min(2, count)
    most = max((len(table.bars[: table.most]) for table in tables), default=0)
    rows = -(-count // columns)
    figure, axes = new_figure(columns, height=rows * max(4.2, 1.6 + 0.3 * most), rows=rows)
    for axis, chart in zip(axes, charts, strict=False):
        _chart(axis, chart)
    for axis, table in zip(axes[len(charts) :], tables, strict=False):
        _table_bars(axis, table)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure


def _chart(axis: "Axes", chart: Chart) -> None:
    for number, (name, points) in enumerate(chart.lines.items()):
        style = LINE_STYLES[number % len(LINE_STYLES)]
        axis.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=name)
    if chart.dots:
        x, y, share = zip(*chart.dots, strict=True)
        axis.scatter(x, y, s=[20 + 900 * each for each in share], color=BLUE, alpha=0.7)
    if chart.diagonal:
        axis.plot(chart.x_range, chart.y_range, color="black", linestyle=":", linewidth=0.8)
    if chart.mark_x is not None:
        axis.axvline(chart.mark_x, color="black", linestyle=":", linewidth=0.8)
    axis.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.log_y:
        axis.set_yscale("log")
    else:
        low, high = chart.y_range
        axis.set_ylim(low, high + 0.02 * (high - low))
    if chart.lines:
        axis.legend(frameon=False)


def _table_bars(axis: "Axes", table: TableView) -> None:
    bars = table.bars[: table.most]
    for y, (_, bar) in enumerate(bars):
        axis.barh(y, bar.value or 0.0, color=TONES[bar.tone], height=0.7)
        if bar.interval is not None:
            axis.plot(bar.interval, [y, y], color="black", linewidth=1.2)
    axis.set_yticks(range(len(bars)), [name for name, _ in bars])
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.8)
    if table.mark is not None:
        axis.axvline(table.mark, color="black", linestyle=":", label=table.mark_name)
        axis.legend(frameon=False)
    axis.set(title=table.title.partition("\n")[0], xlim=(table.low, table.high))
    axis.set_xlabel(table.note, fontsize=8)


def confusion_figure(scored: Predictions) -> "Figure":
    """The confusion matrix with numbers of clips; of many classes, the most confused."""
    counts = scored.confusions().to_numpy()
    shown, matrix = shown_matrix(counts)
    names = [scored.class_names[k] for k in shown]
    columns = [*names, ELSEWHERE][: matrix.shape[1]]
    shares = matrix / counts.sum(axis=1).clip(min=1)[shown][:, None]
    side = 2.5 + 0.3 * len(columns)
    figure, (axis,) = new_figure(1, height=side, width=side + 1)
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        if share:
            color = "white" if share > 0.5 else "black"
            clips = str(matrix[row, column])
            axis.text(column, row, clips, ha="center", va="center", color=color, fontsize=8)
    axis.set_xticks(range(len(columns)), columns, rotation=90)
    axis.set_yticks(range(len(shown)), names)
    axis.set(xlabel="predicted", ylabel="true class")
    figure.colorbar(image, ax=axis, shrink=0.7, label="share of the true class")
    return figure


def new_figure(
    columns: int, height: float, width: float = 11.0, rows: int = 1
) -> "tuple[Figure, list[Axes]]":
    """An empty figure of so many plots, in inches.

    Raises:
        ActionRNNError: if matplotlib is not installed.
    """
    figure = empty_figure(width, height)
    return figure, _bare(figure.subplots(rows, columns, squeeze=False).flat)


def new_rows(
    rows: list[tuple[float, list[float]]], width: float
) -> "tuple[Figure, list[list[Axes]]]":
    """An empty figure of rows, each of its height and with plots of these relative widths.

    Raises:
        ActionRNNError: if matplotlib is not installed.
    """
    heights = [height for height, _ in rows]
    figure = empty_figure(width, sum(heights))
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False).flat
    axes = [
        _bare(part.subplots(1, len(widths), width_ratios=widths, squeeze=False).flat)
        for part, (_, widths) in zip(parts, rows, strict=True)
    ]
    return figure, axes


def empty_figure(width: float, height: float) -> "Figure":
    """A figure without plots, in inches.

    Raises:
        ActionRNNError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ActionRNNError("figures need matplotlib: pip install 'actionrnn[explain]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def _bare(axes: "Iterable[Axes]") -> "list[Axes]":
    found = list(axes)
    for axis in found:
        axis.spines[["top", "right"]].set_visible(False)
    return found
