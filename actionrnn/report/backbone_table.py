"""The table of heads over backbones: on a terminal, as Markdown, as accuracy against cost."""

from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from actionrnn.report.plots import new_figure
from actionrnn.report.terminal import plain_console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("head", "accuracy (95 %)", "AUC (95 %)", "parameters", "ms a clip", "ms a frame")
MARKERS = "osD^vP*X"


def print_table(result: dict[str, Any]) -> None:
    """A table on stdout, what it rests on, and the answers in words."""
    table = Table("head", "accuracy", Column("95 %", no_wrap=True), *COLUMNS[3:])
    backbone = ""
    for row in result["rows"]:
        if row["backbone"] != backbone:
            backbone = row["backbone"]
            table.add_section()
            table.add_row(backbone, style="bold")
        low, high = row["accuracy_low"], row["accuracy_high"]
        sure = "-" if low is None else f"{low:.3f}-{high:.3f}"
        table.add_row(row["head"], f"{row['accuracy']:.3f}", sure, *_cells(row)[3:])
    console = plain_console()
    console.print(table)
    console.print(_about(result))
    for name, answers in result["does_recurrence_help"].items():
        for each in answers:
            console.print(f"{name}: {each}")


def markdown(result: dict[str, Any]) -> str:
    """The same as a Markdown page."""
    head = ("backbone", *COLUMNS)
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join((row['backbone'], *_cells(row)))} |" for row in result["rows"]]
    lines += ["", _about(result), ""]
    for name, answers in result["does_recurrence_help"].items():
        lines += [f"- {name}: {each}" for each in answers]
    return "\n".join(lines) + "\n"


def cost_figure(rows: list[dict[str, Any]]) -> "Figure":
    """Accuracy with its interval over what a head costs a clip; a sign for each backbone."""
    figure, (axis,) = new_figure(1, height=6.5)
    for number, backbone in enumerate(dict.fromkeys(row["backbone"] for row in rows)):
        own = [row for row in rows if row["backbone"] == backbone]
        marker, colour = MARKERS[number % len(MARKERS)], f"C{number}"
        for place, row in enumerate(own):
            x, y = row["inference_ms"], row["accuracy"]
            if row["accuracy_low"] is not None:
                axis.plot([x, x], [row["accuracy_low"], row["accuracy_high"]], colour, alpha=0.25)
            label = backbone if place == 0 else None
            axis.plot(x, y, marker, color=colour, label=label)
            axis.annotate(
                row["head"], (x, y), (5, 3 + 3 * (place % 2)), textcoords="offset points",
                fontsize=7, color=colour,
            )  # fmt: skip
    axis.set(xscale="log", xlabel="ms a clip, of the head alone", ylabel="accuracy")
    axis.legend(frameon=False, loc="lower right")
    return figure


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["head"],
        _figure(row, "accuracy"),
        _figure(row, "auc"),
        f"{row['parameters']:,}",
        f"{row['inference_ms']:.3f}",
        f"{row['inference_ms_per_frame']:.4f}",
    )


def _figure(row: dict[str, Any], key: str) -> str:
    if key not in row:
        return "- (undefined)"
    if row[f"{key}_low"] is None:
        return f"{row[key]:.3f} (no interval: {row[f'{key}_no_interval']})"
    return f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"


def _about(result: dict[str, Any]) -> str:
    seeds, num_columns = result["seeds"], len(result["columns"])
    backbones = {row["backbone"]: row["backbone_ms_per_frame"] for row in result["rows"]}
    cost = ", ".join(f"{name} {ms:.1f}" for name, ms in backbones.items() if ms is not None)
    return (
        f"Mean over {num_columns} split{'s' * (num_columns != 1)} and {seeds} "
        f"seed{'s' * (seeds != 1)}; in each split every head chose its settings by "
        f"{result['trials']} trials over {result['inner']} inner folds. 95 %: over groups "
        f"(recordings). ms: of the head alone, on {result['device']}, per clip of a batch"
        + (f"; the backbone takes besides, ms a frame: {cost}." if cost else ".")
    )
