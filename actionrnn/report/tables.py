"""The diagnoses as tables on stdout."""

from collections.abc import Callable
from typing import Any

from rich.table import Table

from actionrnn.diagnosis.calibration import FIGURES
from actionrnn.diagnosis.order import need_in_words
from actionrnn.evaluation.comparison import signed_interval
from actionrnn.evaluation.summary import plain_console, shown_interval

MAX_ROWS = 30
WORST = 4


def print_diagnosis(name: str, result: dict[str, Any]) -> None:
    """Print one of the diagnoses on stdout, its verdict last."""
    tables: dict[str, Callable[[dict[str, Any]], list[Table]]] = {
        "order": order_tables,
        "bias": bias_tables,
        "calibration": calibration_tables,
        "gradients": gradients_tables,
    }
    console = plain_console()
    for table in tables[name](result):
        console.print(table)
    if result.get("leaked"):
        console.print("LEAKED: clips that were trained on are among these", style="bold red")
    console.print(result["verdict"])


def order_tables(result: dict[str, Any]) -> list[Table]:
    """Every order; every class."""
    table = _table(
        f"{result['subset']}: {result['num_clips']} clips, {result['num_groups']} groups; "
        f"macro accuracy, chance {result['chance']:.3f}",
        *("frames", "accuracy", "difference", "95 % interval of it"),
    )
    for row in result["conditions"]:
        table.add_row(
            row["title"],
            f"{row['macro_accuracy']:.3f}",
            f"{row['difference']:+.3f}",
            signed_interval(row["difference_interval"]),
        )
    rows = sorted(result["per_class"], key=lambda row: -row["need"])[:MAX_ROWS]
    classes = _table(
        "which classes need time",
        *("class", "shuffled", "cost of it, 95 %", "needs time", "reversed, taken for"),
    )
    for row in rows:
        low, high = row["need_interval"] or (float("nan"), float("nan"))
        classes.add_row(
            row["label"],
            f"{row['ordered']:.2f} > {row['shuffled']:.2f}",
            f"{low:+.2f} to {high:+.2f}",
            need_in_words(row),
            f"{row['reversed_as']} ({row['reversed_as_share']:.0%})",
        )
    return [table, classes]


def bias_tables(result: dict[str, Any]) -> list[Table]:
    """Part of the evidence; the worst slices of every column; doubtful labels."""
    table = _table(
        f"macro accuracy; chance {result['chance']:.3f}",
        *("evidence", "clips", "with it", "whole clip", "share", "95 % interval"),
    )
    named = [("middle frame", result["static"])]
    named += [("background alone", each) for each in result["background"]]
    for name, row in named:
        table.add_row(
            name,
            f"{row['num_clips']} {row['subset']}",
            f"{row['part']:.3f}",
            f"{row['whole']:.3f}",
            "-" if row["share"] is None else f"{row['share']:.0%}",
            shown_interval(row["share_interval"]),
        )
    slices = _table(
        f"accuracy by manifest column, the {WORST} worst of each "
        f"(all {result['subset']} clips: {result['accuracy']:.3f})",
        *("column", "value", "clips", "accuracy", "95 % interval", "groups"),
    )
    for column, rows in result["slices"].items():
        for number, row in enumerate(rows[:WORST]):
            slices.add_row(
                column if number == 0 else "",
                row["value"],
                str(row["clips"]),
                f"{row['accuracy']:.3f}" + (" (below)" if row["below"] else ""),
                shown_interval(row["interval"]),
                str(row["groups"]),
            )
    labels = _table("labels to look at again", "clip", "labelled", "p", "rather", "p")
    for row in result["label_candidates"][:10]:
        labels.add_row(
            row["video_id"],
            row["label"],
            f"{row['label_probability']:.2f}",
            row["suggested"],
            f"{row['suggested_probability']:.2f}",
        )
    return [table, slices] + ([labels] if result["label_candidates"] else [])


def calibration_tables(result: dict[str, Any]) -> list[Table]:
    """Figures with the stored and with the best temperature; the bins."""
    now, then, best = (result[k] for k in ("figures", "figures_then", "best_temperature"))
    table = _table(
        f"{result['subset']}: {result['num_clips']} clips, by temperature",
        "figure",
        f"{result['temperature']:.2f} (stored)",
        f"{best:.2f} (fits validation)" if best else "none fits better",
    )
    for key, name in FIGURES.items():
        table.add_row(name, f"{now[key]:.3f}", f"{then[key]:.3f}")
    table.add_row("95 % interval of the ECE", shown_interval(result["ece_interval"]), "")
    bins = _table("as it is", "confidence", "clips", "mean confidence", "accuracy")
    for row in result["bins"]:
        bins.add_row(
            f"{row['low']:.2f} to {row['high']:.2f}",
            str(row["clips"]),
            f"{row['confidence']:.3f}",
            f"{row['accuracy']:.3f}",
        )
    return [table, bins]


def gradients_tables(result: dict[str, Any]) -> list[Table]:
    """A row for every layer and direction."""
    table = _table(
        f"{result['cell']}, {result['num_clips']} {result['subset']} clips",
        *("layer", "first / last", "per frame", "verdict", "saturated gates (low, high)"),
    )
    for row in result["layers"]:
        gates = [f"{g['gate']} {g['low']:.0%}, {g['high']:.0%}" for g in row["saturation"]]
        table.add_row(
            f"{row['layer']} {row['direction']}",
            "-" if row["ratio"] is None else f"{row['ratio']:.2e}",
            "-" if row["per_frame"] is None else f"{row['per_frame']:.3f}",
            row["verdict"],
            "\n".join(gates) or "-",
        )
    return [table]


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")
