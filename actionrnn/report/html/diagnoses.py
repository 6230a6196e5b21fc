"""The sections about what the figures rest on: order, bias, gradients, where they were made."""

from typing import Any

from actionrnn.diagnosis.order import need_in_words
from actionrnn.evaluation.comparison import signed_interval
from actionrnn.evaluation.summary import shown_interval
from actionrnn.report.html.charts import line_chart
from actionrnn.report.html.markup import (
    Cell,
    bar,
    card,
    columns,
    hint,
    number,
    section,
    sentence,
    table,
    text,
)
from actionrnn.report.html.run_files import RunFiles

WORST = 6
MAX_LABELS = 20


def order_section(run: RunFiles) -> str:
    """`diagnose order`."""
    made = run.diagnostics.get("order")
    if not made:
        return _missing(run, "order", "Order", "Does the model use the order of the frames?")
    rows = [
        [
            Cell(text(row["title"])),
            Cell(
                bar(row["macro_accuracy"], row["interval"], _kind(row["key"]), made["chance"]),
                row["macro_accuracy"],
                "wide",
            ),
            number(row["macro_accuracy"]),
            Cell(f"{row['difference']:+.3f}", row["difference"], "num"),
            Cell(signed_interval(row["difference_interval"]), None, "num quiet"),
        ]
        for row in made["conditions"]
    ]
    low = min(0.0, *(row["need"] for row in made["per_class"]))
    classes = [
        [
            Cell(text(row["label"])),
            Cell(
                bar(
                    row["need"],
                    row["need_interval"],
                    "a" if row["needs_time"] else "none",
                    low=min(low, -0.001),
                ),
                row["need"],
                "wide",
            ),
            number(row["need"], 2),
            Cell(need_in_words(row)),
            Cell(text(f"{row['reversed_as']} ({row['reversed_as_share']:.0%})")),
        ]
        for row in sorted(made["per_class"], key=lambda row: -float(row["need"]))
    ]
    return section(
        "order",
        "Order",
        columns(
            card(
                "macro accuracy",
                table(["frames", "", "accuracy", "difference", "95 % interval"], rows),
                f"Dotted: chance, {made['chance']:.3f}. Grey: heads that cannot use order, "
                f"trained on the same features.",
            ),
            card(
                "which classes need time",
                table(
                    ["class", "", "cost", "needs time", "reversed, taken for"],
                    classes,
                    "filter classes",
                    tall=True,
                ),
                "Cost: accuracy lost when the frames are shuffled; grey: no more than noise.",
            ),
        ),
        lead=sentence(made["verdict"]),
    )


def bias_section(run: RunFiles) -> str:
    """`diagnose bias`."""
    made = run.diagnostics.get("bias")
    if not made:
        return _missing(run, "bias", "Bias", "Does it need the action, or only the scene?")
    evidence = [("middle frame", made["static"])]
    evidence += [("background alone", row) for row in made["background"]]
    rows = [
        [
            Cell(text(name)),
            Cell(f"{row['num_clips']} {text(row['subset'])}"),
            Cell(bar(row["part"], row["part_interval"], "bad", made["chance"]), None, "wide"),
            number(row["part"]),
            number(row["whole"]),
            Cell("–" if row["share"] is None else f"{row['share']:.0%}", row["share"], "num"),
        ]
        for name, row in evidence
    ]
    slices = [
        [
            Cell(text(column)),
            Cell(text(row["value"])),
            number(row["clips"], 0),
            Cell(
                bar(
                    row["accuracy"],
                    row["interval"],
                    "bad" if row["below"] else "none",
                    made["accuracy"],
                ),
                row["accuracy"],
                "wide",
            ),
            number(row["accuracy"]),
            Cell(shown_interval(row["interval"]), None, "num quiet"),
        ]
        for column, values in made["slices"].items()
        for row in values[:WORST]
    ]
    alarm = "SHORTCUT" in made["verdict"]
    return section(
        "bias",
        "Bias",
        f'<p class="alarm">{sentence(made["verdict"])}</p>' if alarm else "",
        card(
            "macro accuracy from part of the evidence",
            table(["evidence", "clips", "", "with it", "whole clip", "share"], rows),
            "Background: the temporal median of the frames, in which what moves is gone.",
        ),
        columns(
            card(
                f"worst slices by manifest column (at most {WORST} each)",
                table(
                    ["column", "value", "clips", "", "accuracy", "95 % interval"],
                    slices,
                    "filter slices",
                    tall=True,
                ),
                "Red: the interval lies wholly below that of all clips. Dotted: all clips.",
            ),
            card("labels to look at again", _labels(made["label_candidates"])),
        ),
        lead="" if alarm else sentence(made["verdict"]),
    )


def _labels(candidates: list[dict[str, Any]]) -> str:
    if not candidates:
        return '<p class="note">None: no clip looks more like another class.</p>'
    rows = [
        [
            Cell(text(row["video_id"])),
            Cell(text(row["label"])),
            number(row["label_probability"], 2),
            Cell(text(row["suggested"])),
            number(row["suggested_probability"], 2),
        ]
        for row in candidates[:MAX_LABELS]
    ]
    return table(["clip", "labelled", "p", "rather", "p"], rows, tall=True)


def gradients_section(run: RunFiles) -> str:
    """`diagnose gradients`, where it was made."""
    made = run.diagnostics.get("gradients")
    if not made:
        return ""
    lines = {
        f"layer {layer['layer']} {layer['direction']}": [
            (float(t), float(norm)) for t, norm in enumerate(layer["norms"])
        ]
        for layer in made["layers"]
    }
    top = max(norm for points in lines.values() for _, norm in points)
    last = max(t for points in lines.values() for t, _ in points)
    gates = [
        [
            Cell(text(f"{layer['layer']} {layer['direction']}")),
            Cell(text(gate["gate"])),
            Cell(bar(gate["low"]), gate["low"]),
            Cell(f"{gate['low']:.0%}", gate["low"], "num"),
            Cell(bar(gate["high"], kind="bad"), gate["high"]),
            Cell(f"{gate['high']:.0%}", gate["high"], "num"),
        ]
        for layer in made["layers"]
        for gate in layer["saturation"]
    ]
    saturated = table(["layer", "gate", "near low end", "", "near high end", ""], gates)
    return section(
        "gradients",
        "Gradients",
        columns(
            card("|dLoss / dstate|", line_chart("norm", lines, "frame", (0, top), (0, last))),
            card("saturated gate values", saturated) if gates else "",
        ),
        lead=sentence(made["verdict"]),
    )


def _kind(key: str) -> str:
    return "none" if key in ("mean_pool", "single_frame") else "a"


def _missing(run: RunFiles, kind: str, title: str, question: str) -> str:
    command = f"actionrnn diagnose {kind} --ckpt_path {run.checkpoint}"
    return section(kind, title, hint(f"{question} Not asked of this run yet:", command))
