"""The diagnoses as screens."""

import math

from actionrnn.diagnosis.bias import BiasDiagnosis
from actionrnn.diagnosis.calibration import CalibrationDiagnosis
from actionrnn.diagnosis.gradients import GradientsDiagnosis
from actionrnn.diagnosis.order import Condition, OrderDiagnosis
from actionrnn.diagnosis.shortcuts import Shortcuts
from actionrnn.diagnosis.slices import LabelCandidate
from actionrnn.evaluation.calibration import Bin
from actionrnn.evaluation.intervals import too_few
from actionrnn.report.screen import (
    Bar,
    Block,
    Cell,
    Chart,
    Screen,
    TableView,
    number,
    percent,
    row,
    shown_interval,
    signed,
)

WORST = 4
MAX_LABELS = 20
CALIBRATION_FIGURES = {
    "ece": "calibration error (ECE)",
    "loss": "cross-entropy",
    "brier": "Brier score",
    "confidence": "mean confidence",
    "readable_accuracy": "accuracy where there is a confidence",
    "accuracy": "accuracy of all clips",
}
_LEAKED = "LEAKED: clips that were trained on are among these"


def order_screen(made: OrderDiagnosis) -> Screen:
    """`diagnose order`: every order; every class."""
    conditions = [
        row(
            each.title,
            Bar(each.macro_accuracy, each.interval, "none" if each.order_blind else "a"),
            each.macro_accuracy,
            *_difference(each, made.num_groups),
        )
        for each in made.conditions
    ]
    classes = [
        row(
            each.label,
            Bar(each.need, each.need_interval, "a" if each.needs_time == "yes" else "none"),
            f"{each.recall['ordered']:.2f} > {each.recall['shuffled']:.2f}",
            Cell(shown_interval(each.need_interval, too_few(each.groups), True), each.need),
            each.needs_time,
            f"{each.reversed_as} ({each.reversed_as_share:.0%})",
        )
        for each in sorted(made.per_class, key=lambda each: -each.need)
    ]
    by_order = TableView(
        f"{made.subset}: {made.num_clips} clips, {made.num_groups} groups; macro accuracy",
        ("frames", "", "accuracy", "difference", "95 % interval of it"),
        conditions,
        "Grey: heads that cannot use order, trained on the same features.",
        *_chance(made.chance),
    )
    by_class = TableView(
        "which classes need time",
        ("class", "", "shuffled", "cost of it, 95 %", "needs time", "reversed, taken for"),
        classes,
        "Cost: accuracy lost when the frames are shuffled; grey: not more than noise.",
        low=min(0.0, *(each.need for each in made.per_class)),
        filtered="classes",
    )
    alarm = _LEAKED if made.leaked else ""
    return Screen("order", "Order", made.verdict, alarm, blocks=[by_order, by_class])


def _chance(chance: float) -> tuple[float, str]:
    """The mark of a table, and its name."""
    return chance, f"chance, {chance:.3f}"


def _difference(made: Condition, num_groups: int) -> list[Cell]:
    if made.key == "ordered":
        return row("", "")
    bounds = shown_interval(made.difference_interval, too_few(num_groups), with_sign=True)
    return row(signed(made.difference), bounds)


def bias_screen(made: BiasDiagnosis) -> Screen:
    """`diagnose bias`: part of the evidence; the worst slices of every column; odd labels."""
    evidence = [("middle frame", made.static)]
    evidence += [("background alone", each) for each in made.background]
    rows = [
        row(
            name,
            f"{each.num_clips} {each.subset}",
            Bar(each.part, each.part_interval, "bad"),
            each.part,
            each.whole,
            percent(each.share) if each.share is not None else "- (whole is 0)",
            shown_interval(each.share_interval, too_few(each.num_groups)),
        )
        for name, each in evidence
    ]
    slices = [
        row(
            column,
            each.value,
            Bar(each.accuracy, each.interval, "bad" if each.below else "none"),
            each.clips,
            Cell(f"{each.accuracy:.3f}" + (" (below)" if each.below else ""), each.accuracy),
            shown_interval(each.interval, each.missing),
            each.groups,
        )
        for column, values in made.slices.items()
        for each in values[:WORST]
    ]
    by_part = TableView(
        "macro accuracy from part of the evidence",
        ("evidence", "clips", "", "with it", "whole clip", "share", "95 % of share"),
        rows,
        "Background: the temporal median of the frames, in which what moves is gone.",
        *_chance(made.chance),
    )
    by_column = TableView(
        f"accuracy by manifest column, the {WORST} worst of each",
        ("column", "value", "", "clips", "accuracy", "95 % interval", "groups"),
        slices,
        "Below: the interval lies wholly below that of all clips.",
        mark=made.accuracy,
        mark_name=f"all {made.subset} clips, {made.accuracy:.3f}",
        filtered="slices",
    )
    verdict = "" if made.suspected else made.verdict
    alarm = "\n".join([_LEAKED] * made.leaked + [made.verdict] * made.suspected)
    labels = _labels(made.label_candidates)
    blocks = [*_cues(made.shortcuts), by_part, by_column, *labels]
    return Screen("bias", "Bias", verdict, alarm, blocks=blocks)


def _cues(found: Shortcuts) -> list[TableView]:
    """What the files give away, each cue alone; nothing where they do not."""
    rows = [
        row(
            cue.name,
            Bar(cue.macro_accuracy, cue.interval, "bad" if cue.above(found.chance) else "none"),
            cue.macro_accuracy,
            shown_interval(cue.interval),
        )
        for cue in found.cues
    ]
    table = TableView(
        f"macro accuracy from the files alone, {found.num_clips} clips of "
        f"{found.num_groups} groups",
        ("cue alone", "", "accuracy", "95 % interval"),
        rows,
        "A linear model on nothing else, tested on groups that it was not trained on; grey: "
        "no more than chance.",
        *_chance(found.chance),
    )
    return [table] if rows else []


def _labels(candidates: list[LabelCandidate]) -> list[TableView]:
    rows = [
        row(
            each.video_id,
            each.label,
            number(each.label_probability, 2),
            each.suggested,
            number(each.suggested_probability, 2),
        )
        for each in candidates[:MAX_LABELS]
    ]
    columns = ("clip", "labelled", "p", "rather", "p")
    return [TableView("labels to look at again", columns, rows, most=10)] if rows else []


def calibration_screen(made: CalibrationDiagnosis) -> Screen:
    """`diagnose calibration`: figures with the stored and with the best temperature; bins."""
    best = made.best_temperature
    then = f"{best:.2f} (fits validation)" if best else "none fits better"
    rows = [
        row(name, getattr(made.figures, key), getattr(made.figures_then, key))
        for key, name in CALIBRATION_FIGURES.items()
    ]
    bounds = shown_interval(made.ece_interval, made.no_interval)
    rows.append(row("95 % interval of the ECE", bounds, ""))
    unreadable = f", {made.num_unreadable} unreadable" if made.num_unreadable else ""
    bins = [
        row(f"{each.low:.2f} to {each.high:.2f}", each.clips, each.confidence, each.accuracy)
        for each in made.bins
    ]
    charts = [reliability_chart(f"temperature {made.temperature:.2f} (stored)", made.bins)]
    if best:
        charts.append(reliability_chart(f"temperature {best:.2f}, fits validation", made.bins_then))
    title = f"{made.subset}: {made.num_clips} clips{unreadable}, by temperature"
    figures = TableView(title, ("figure", f"{made.temperature:.2f} (stored)", then), rows)
    columns = ("confidence", "clips", "mean confidence", "accuracy")
    blocks: list[Block] = [*charts, figures, TableView("as it is", columns, bins)]
    return Screen("calibration", "Calibration", made.verdict, blocks=blocks)


def reliability_chart(title: str, bins: list[Bin]) -> Chart:
    """Accuracy over confidence: no lines, for a bin of two clips says nothing of its neighbours."""
    total = sum(each.clips for each in bins)
    return Chart(
        title,
        "confidence",
        "accuracy",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        dots=[(each.confidence, each.accuracy, each.clips / total) for each in bins],
        diagonal=True,
        note="A dot is a bin of confidence, its area the share of the clips in it; on the dotted "
        "line a probability means what it says.",
    )


def gradients_screen(made: GradientsDiagnosis) -> Screen:
    """`diagnose gradients`: the norm over time of every layer; saturated gates."""
    lines = {
        layer.name or made.cell: [(float(t), norm) for t, norm in enumerate(layer.norms)]
        for layer in made.layers
    }
    norms = [norm for layer in made.layers for norm in layer.norms if norm > 0]
    low, high = (math.log10(each) for each in (min(norms, default=0.1), max(norms, default=1.0)))
    rows = [
        row(
            layer.name or "the only one",
            f"- ({layer.verdict})"
            if layer.ratio is None
            else Cell(f"{layer.ratio:.3g}", layer.ratio),
            number(layer.per_frame, missing=layer.verdict),
            layer.verdict,
        )
        for layer in made.layers
    ]
    gates = [
        row(
            f"{gate.gate}, {layer.name}" if layer.name else gate.gate,
            Bar(gate.low + gate.high),
            percent(gate.low),
            percent(gate.high),
        )
        for layer in made.layers
        for gate in layer.saturation
    ]
    saturated = TableView(
        "gate values near an end of their range",
        ("gate", "", "low end", "high end"),
        gates,
        note="Saturated gates let little be learned; the bar is both ends together.",
    )
    chart = Chart(
        "how much of the loss reaches the state at each frame",
        "frame",
        "|dLoss / dstate|",
        x_range=(0.0, float(max(len(layer.norms) for layer in made.layers) - 1)),
        y_range=(10 ** math.floor(low), 10 ** math.ceil(high)),
        lines=lines,
        log_y=True,
    )
    title = f"{made.cell}, {made.num_clips} {made.subset} clips"
    table = TableView(title, ("layer", "first / last", "per frame", "verdict"), rows)
    blocks: list[Block] = [chart, table, *([saturated] if gates else [])]
    return Screen("gradients", "Gradients", made.verdict, blocks=blocks)
