"""One matplotlib figure for each diagnosis and for the notebooks; matplotlib is an extra."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.training.metrics import predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY, RED, GREEN = "#3b6fd4", "#9aa3b2", "#d1495b", "#2a9d6f"
MAX_CLASSES = 40


def order_figure(result: dict[str, Any]) -> "Figure":
    """`diagnose order`: macro accuracy under every order; what shuffling costs each class."""
    classes = sorted(result["per_class"], key=lambda row: row["need"])[-MAX_CLASSES:]
    conditions = result["conditions"]
    figure, (left, right) = new_figure(2, height=1.4 + 0.3 * max(len(conditions), len(classes)))
    _bars(
        left,
        [row["title"] for row in conditions],
        [row["macro_accuracy"] for row in conditions],
        [row["interval"] for row in conditions],
        [GREY if row["title"].startswith("baseline") else BLUE for row in conditions],
    )
    left.axvline(result["chance"], color=RED, linestyle=":", label="chance")
    left.set(title="macro accuracy", xlim=(0, 1))
    left.legend(frameon=False, loc="lower right")
    _bars(
        right,
        [row["label"] for row in classes][::-1],
        [row["need"] for row in classes][::-1],
        [row["need_interval"] for row in classes][::-1],
        [BLUE if row["needs_time"] else GREY for row in classes][::-1],
    )
    right.axvline(0, color="black", linewidth=0.8)
    right.set(title="what shuffling costs each class (grey: noise)")
    return figure


def bias_figure(result: dict[str, Any]) -> "Figure":
    """`diagnose bias`: accuracy with part of the evidence; the worst slices of the data."""
    pairs = [("middle frame", result["static"])]
    pairs += [(f"background, {each['subset']}", each) for each in result["background"]]
    slices = [
        (f"{column}: {row['value']}", row)
        for column, rows in result["slices"].items()
        for row in rows[:4]
    ]
    slices = sorted(slices, key=lambda pair: float(pair[1]["accuracy"]))[:16]
    figure, (left, right) = new_figure(2, height=1.6 + 0.32 * max(2 * len(pairs), len(slices), 6))
    names = [name for title, each in pairs for name in (title, f"all, {each['subset']}")]
    _bars(
        left,
        names,
        [value for _, each in pairs for value in (each["part"], each["whole"])],
        [each[key] for _, each in pairs for key in ("part_interval", "whole_interval")],
        [RED, BLUE] * len(pairs),
    )
    left.axvline(result["chance"], color="black", linestyle=":", label="chance")
    left.set(title="macro accuracy from part of the evidence", xlim=(0, 1))
    left.legend(frameon=False)
    _bars(
        right,
        [name for name, _ in slices],
        [row["accuracy"] for _, row in slices],
        [row["interval"] for _, row in slices],
        [RED if row["below"] else GREY for _, row in slices],
    )
    right.axvline(result["accuracy"], color="black", linestyle=":", label="all clips")
    right.set(title="accuracy of the worst slices", xlim=(0, 1))
    right.legend(frameon=False)
    return figure


def calibration_figure(result: dict[str, Any]) -> "Figure":
    """`diagnose calibration`: accuracy over confidence, as it is and with the best temperature."""
    figure, axes = new_figure(2, height=4.2)
    best = result["best_temperature"]
    then = f"temperature {best:.2f} (fits validation)" if best else "no temperature fits better"
    for axis, key, title in (
        (axes[0], "", f"temperature {result['temperature']:.2f} (stored)"),
        (axes[1], "_then", then),
    ):
        bins, ece = result[f"bins{key}"], result[f"figures{key}"]["ece"]
        middles = [(row["low"] + row["high"]) / 2 for row in bins]
        total = sum(row["clips"] for row in bins)
        shares = [row["clips"] / total for row in bins]
        axis.bar(middles, shares, width=1 / 16, color=GREY, alpha=0.5, label="share of clips")
        axis.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=0.8)
        x, y = ([row[name] for row in bins] for name in ("confidence", "accuracy"))
        axis.plot(x, y, "o-", color=BLUE, label="accuracy")
        axis.set(title=f"{title}: ECE {ece:.3f}", xlabel="confidence", xlim=(0, 1), ylim=(0, 1.02))
        axis.legend(frameon=False, loc="upper left")
    return figure


def gradients_figure(result: dict[str, Any]) -> "Figure":
    """`diagnose gradients`: gradient norm over time of every layer; gate saturation."""
    figure, (left, right) = new_figure(2, height=4.0)
    names, low, high = [], [], []
    for layer in result["layers"]:
        name = f"layer {layer['layer']} {layer['direction']}"
        left.plot(range(len(layer["norms"])), layer["norms"], "o-", markersize=3, label=name)
        for gate in layer["saturation"]:
            names.append(f"{gate['gate']}, {name}")
            low.append(gate["low"])
            high.append(gate["high"])
    left.set(title="|dLoss / dstate|", xlabel="frame", yscale="log")
    left.legend(frameon=False)
    place = np.arange(len(names))
    right.barh(place, low, color=BLUE, label="near its low end")
    right.barh(place, high, left=low, color=RED, label="near its high end")
    right.set(title="share of saturated gate values", xlim=(0, 1))
    right.set_yticks(place, names)
    right.invert_yaxis()
    right.legend(frameon=False)
    return figure


def confusion_figure(scored: Predictions) -> "Figure":
    """The confusion matrix by share of each class; with many classes, of the most confused."""
    preds_N, target_N = predictions(scored.logits()), scored.targets()
    num_classes = len(scored.class_names)
    counts = np.zeros((num_classes, num_classes + 1))
    np.add.at(counts, (target_N.numpy(), preds_N.numpy()), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = shares[:, :num_classes].copy()
    np.fill_diagonal(errors, 0.0)
    shown = np.sort(np.argsort(-(errors.sum(0) + errors.sum(1)), kind="stable")[:MAX_CLASSES])
    side = 2.5 + 0.3 * len(shown)
    figure, (axis,) = new_figure(1, height=side, width=side + 1)
    image = axis.imshow(shares[np.ix_(shown, shown)], vmin=0, vmax=1, cmap="Blues")
    names = [scored.class_names[k] for k in shown]
    axis.set_xticks(range(len(shown)), names, rotation=90)
    axis.set_yticks(range(len(shown)), names)
    axis.set(xlabel="predicted", ylabel="true class")
    figure.colorbar(image, ax=axis, shrink=0.7, label="share of the true class")
    return figure


def curves_figure(curves: dict[str, Any], ylabel: str, xlabel: str = "frame") -> "Figure":
    """A line for each name; values that are not finite are left out."""
    figure, (axis,) = new_figure(1, height=4.0)
    for name, values in curves.items():
        finite = [(x, y) for x, y in enumerate(values) if math.isfinite(y)]
        if finite:
            axis.plot(*zip(*finite, strict=True), "o-", markersize=3, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(frameon=False)
    return figure


def bars_figure(names: list[str], values: list[float], bounds: list[Any], title: str) -> "Figure":
    """A bar for each name with its interval."""
    figure, (axis,) = new_figure(1, height=1.2 + 0.3 * len(names))
    _bars(axis, names, values, bounds, [BLUE] * len(names))
    axis.set(title=title)
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


def _bars(
    axis: "Axes", names: list[str], values: list[float], bounds: list[Any], colors: list[str]
) -> None:
    place = np.arange(len(names))
    axis.barh(place, values, color=colors, height=0.7)
    for y, pair in zip(place, bounds, strict=True):
        if pair is not None:
            axis.plot(pair, [y, y], color="black", linewidth=1.2)
    axis.set_yticks(place, names)
    axis.invert_yaxis()


def maps_figure(maps: dict[str, Any], ranges: dict[str, tuple[float, float]]) -> "Figure":
    """A picture of time x unit for each name, (T, units); units sorted by when they peak.

    Colours span the range of the name, or the values where it has none that is bounded.
    """
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    figure, axes = new_figure(columns, height=3.2 * rows, rows=rows)
    for axis, (name, values) in zip(axes, maps.items(), strict=False):
        units = np.argsort(np.asarray(values).argmax(axis=0), kind="stable")
        bounds = ranges.get(name, (math.inf, math.inf))
        low, high = bounds if all(map(math.isfinite, bounds)) else (None, None)
        image = axis.imshow(
            np.asarray(values)[:, units].T, aspect="auto", vmin=low, vmax=high, cmap="viridis"
        )
        axis.set(title=name, xlabel="frame", ylabel="unit")
        figure.colorbar(image, ax=axis, shrink=0.8)
    for axis in axes[len(maps) :]:
        axis.set_visible(False)
    return figure
