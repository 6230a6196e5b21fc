"""The sections about the run itself: figures, curves, confusion, classes, calibration."""

from typing import Any

from actionrnn.evaluation.calibration import reliability
from actionrnn.evaluation.summary import HEADLINES, interval_note, shown_interval
from actionrnn.report.html.charts import bubble_chart, line_chart, matrix
from actionrnn.report.html.confusion import (
    MAX_CLASSES,
    confusion_counts,
    shown_classes,
    top_confusions,
)
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

MAX_CONFUSIONS = 300


def summary_section(run: RunFiles) -> str:
    """The headline figures as tiles, and what was tested."""
    summary = run.summary
    tiles = []
    for key, bounds in summary["intervals"].items():
        kind = "bad" if key == "ece" else "a"
        tiles.append(
            f'<div class="tile"><span>{text(HEADLINES[key])}</span>'
            f"<strong>{summary[key]:.3f}</strong>{bar(summary[key], bounds, kind)}"
            f"<small>95 %: {shown_interval(bounds)}</small></div>"
        )
    leaked = (
        '<p class="alarm">LEAKED: training and test share recordings; these figures are not a '
        "measure of generalisation.</p>"
        if summary["leaked"]
        else ""
    )
    return section(
        "summary",
        "Summary",
        leaked,
        f'<div class="tiles">{"".join(tiles)}</div>',
        _facts(run),
        lead=sentence(interval_note(summary)),
    )


def _facts(run: RunFiles) -> str:
    summary, about = run.summary, run.predictions.about
    head = about.get("head", {})
    kind = head.get("head", "unknown")
    size = f" {head['hidden_size']} x {head['num_layers']}" if kind == "recurrent" else ""
    cell = f" {head['cell'].upper()}{size}" if kind == "recurrent" else ""
    both = ", bidirectional" if kind == "recurrent" and head["bidirectional"] else ""
    facts = {
        "clips": f"{int(summary['num_clips'])} of “{summary['subset']}”",
        "groups": summary["num_groups"],
        "unreadable": f"{int(summary['num_unreadable'])} (counted wrong)",
        "classes": len(run.predictions.class_names),
        "views": summary["num_views"],
        "head": f"{kind.replace('_', ' ')}{cell}{both}",
        "parameters": f"{summary['num_parameters']:,}" if summary["num_parameters"] else "–",
        "training": f"{run.fit['seconds']:.1f} s, {run.fit['epochs']} epochs" if run.fit else "–",
        "temperature": f"{summary['temperature']:.2f}",
    }
    cells = "".join(f"<div><dt>{k}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items())
    return f'<dl class="facts">{cells}</dl>'


def curves_section(run: RunFiles) -> str:
    """Loss and accuracy by epoch."""
    curves = run.curves
    if not curves:
        return section("curves", "Learning curves", hint("no metrics.csv here;", "actionrnn fit"))
    last = max(x for points in curves.values() for x, _ in points)
    losses, shares = (
        {name: points for name, points in curves.items() if name in wanted}
        for wanted in (("train/loss", "val/loss"), ("val/accuracy", "val/macro_accuracy"))
    )
    best = max(curves.get("val/macro_accuracy", [(last, 0.0)]), key=lambda point: point[1])
    top = max((y for points in losses.values() for _, y in points), default=1.0)
    return section(
        "curves",
        "Learning curves",
        columns(
            card("loss", line_chart("loss", losses, "epoch", (0, top), (1, last), mark_x=best[0])),
            card(
                "validation accuracy",
                line_chart("accuracy", shares, "epoch", (0, 1), (1, last), mark_x=best[0]),
            ),
        ),
        lead=f"The best epoch on validation clips was {best[0]:.0f}, with macro accuracy "
        f"{best[1]:.3f} (dotted line); its weights are the ones tested.",
    )


def confusion_section(run: RunFiles) -> str:
    """The most confused classes as a matrix, and every confusion as a list."""
    names = run.predictions.class_names
    counts = confusion_counts(run.predictions)
    pairs = top_confusions(counts, names)
    if not pairs:
        return section("confusion", "Confusion", lead="No class was taken for another.")
    shown = shown_classes(counts)
    totals = counts.sum(axis=1).clip(min=1)
    shares = [[float(counts[i, j] / totals[i]) for j in shown] for i in shown]
    rows = [
        [
            Cell(text(pair["label"])),
            Cell(text(pair["pred"])),
            number(pair["clips"], 0),
            Cell(bar(pair["share"], kind="bad"), pair["share"]),
            Cell(f"{pair['share']:.0%}", pair["share"], "num"),
        ]
        for pair in pairs[:MAX_CONFUSIONS]
    ]
    which = f"the {MAX_CLASSES} most confused classes" if len(names) > MAX_CLASSES else "classes"
    return section(
        "confusion",
        "Confusion",
        columns(
            card(
                f"matrix: {which}",
                matrix([names[k] for k in shown], shares),
                "Rows are the true class, columns what it was taken for, as shares of the row. "
                "Classes that are confused stand next to each other.",
            ),
            card(
                "top confusions",
                table(
                    ["true class", "taken for", "clips", "", "share"],
                    rows,
                    "filter classes",
                    tall=True,
                ),
            ),
        ),
        lead=f"{len(pairs)} pairs of classes are confused; the worst is {text(pairs[0]['label'])} "
        f"taken for {text(pairs[0]['pred'])} ({pairs[0]['share']:.0%} of its clips).",
    )


def classes_section(run: RunFiles) -> str:
    """Accuracy of every class with its interval."""
    scored = [row for row in run.summary["per_class"] if row["clips"]]
    rows = [
        [
            Cell(text(row["label"])),
            number(row["clips"], 0),
            Cell(bar(row["accuracy"], row["interval"]), row["accuracy"], "wide"),
            number(row["accuracy"]),
            Cell(shown_interval(row["interval"]), None, "num quiet"),
            number(row["precision"]),
            number(row["f1"]),
        ]
        for row in sorted(scored, key=lambda row: (row["accuracy"], row["label"]))
    ]
    empty = len(run.summary["per_class"]) - len(scored)
    return section(
        "classes",
        "Classes",
        card(
            "accuracy of each class, worst first",
            table(
                ["class", "clips", "", "accuracy", "95 % interval", "precision", "F1"],
                rows,
                "filter classes",
                tall=True,
            ),
            f"{empty} classes have no clip here." if empty else "",
        ),
    )


def calibration_section(run: RunFiles) -> str:
    """Accuracy over confidence, and what a temperature would change."""
    scored, summary = run.predictions, run.summary
    made = run.diagnostics.get("calibration")
    charts = [_reliability("as it is", reliability(scored.logits(), scored.targets()))]
    if made and made["best_temperature"]:
        title = f"with temperature {made['best_temperature']:.2f}, fitted on validation clips"
        charts.append(_reliability(title, made["bins_then"]))
    error = f"calibration error {summary['ece']:.3f}"
    said = sentence(made["verdict"] if made else error)
    missing = hint("With the best temperature beside it:", _diagnose(run, "calibration"))
    return section(
        "calibration",
        "Calibration",
        columns(*charts),
        "" if made else missing,
        lead=f"{said} On the dotted line a probability means what it says.",
    )


def _reliability(title: str, bins: Any) -> str:
    rows = bins if isinstance(bins, list) else bins.to_dict("records")
    total = sum(row["clips"] for row in rows)
    bubbles = [(row["confidence"], row["accuracy"], row["clips"] / total) for row in rows]
    return card(
        title,
        bubble_chart(title, bubbles, "confidence"),
        "Up: accuracy. A dot is a bin of confidence, its area the share of the clips in it.",
    )


def _diagnose(run: RunFiles, kind: str) -> str:
    return f"actionrnn diagnose {kind} --ckpt_path {run.checkpoint}"
