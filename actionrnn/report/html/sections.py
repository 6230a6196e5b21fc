"""The sections of the page, as screens: what a run folder holds, and what it does not yet."""

import json
import shlex
from typing import Any

from actionrnn.evaluation.calibration import reliability
from actionrnn.evaluation.figures import HEADLINES
from actionrnn.report.confusion import MAX_CLASSES, shown_matrix, top_confusions
from actionrnn.report.diagnoses import screen_of
from actionrnn.report.diagnosis_screens import reliability_chart
from actionrnn.report.run import Run
from actionrnn.report.run_screens import alarms, classes_table, interval_note
from actionrnn.report.screen import (
    Bar,
    Block,
    Chart,
    Matrix,
    Screen,
    TableView,
    Text,
    Tile,
    percent,
    row,
    shown_interval,
)

MAX_CONFUSIONS = 300


def sections(run: Run) -> list[Screen]:
    """In the order of the page; clips come after them."""
    found = [
        summary_section(run),
        curves_section(run),
        confusion_section(run),
        Screen("classes", "Classes", blocks=[classes_table(run.summary.per_class)]),
        calibration_section(run),
        _asked(run, "order", "Order", "Does the model use the order of the frames?"),
        _asked(run, "bias", "Bias", "Does it need the action, or only the scene?"),
    ]
    return found + ([screen_of(run.gradients)] if run.gradients else [])


def summary_section(run: Run) -> Screen:
    """The headline figures as tiles, and what was tested."""
    summary = run.summary
    tiles = [
        Tile(
            HEADLINES[key],
            f"{each.value:.3f}",
            Bar(each.value, each.interval, "bad" if key == "ece" else "a"),
            f"95 %: {shown_interval(each.interval, each.missing)}",
        )
        for key, each in summary.figures.items()
    ]
    note = interval_note(summary.num_groups)
    return Screen("summary", "Summary", note, alarms(summary), tiles, _facts(run))


def _facts(run: Run) -> dict[str, str]:
    summary = run.summary
    facts = {
        "clips": f"{summary.part or summary.num_clips} of “{summary.subset}”",
        "groups": str(summary.num_groups),
        "unreadable": f"{summary.num_unreadable} (counted wrong)",
        "classes": str(len(run.predictions.class_names)),
        "macro accuracy by chance": f"{1 / len(run.predictions.class_names):.3f}",
    }
    controls = [each for each in run.order.conditions if each.order_blind] if run.order else []
    facts |= {each.title: f"{each.macro_accuracy:.3f} macro" for each in controls}
    if not controls:
        facts["order-blind controls"] = "not measured yet (see Order)"
    facts |= {"views": str(summary.num_views), "head": _head(run)}
    if summary.num_parameters:
        facts["parameters"] = f"{summary.num_parameters:,}"
    if run.fit:
        facts["training"] = f"{run.fit['seconds']:.1f} s, {run.fit['epochs']} epochs"
    return facts | {"temperature": f"{summary.temperature:.2f}"}


def _head(run: Run) -> str:
    head = run.predictions.about.get("head")
    if not head:
        return "not said by this run"
    if head["head"] != "recurrent":
        return str(head["head"]).replace("_", " ")
    both = ", bidirectional" if head["bidirectional"] else ""
    return f"{head['cell'].upper()} {head['hidden_size']} x {head['num_layers']}{both}"


def curves_section(run: Run) -> Screen:
    """Loss and accuracy by epoch."""
    curves = run.curves
    if not curves:
        return Screen(
            "curves", "Learning curves", hint="no metrics.csv here;", command="actionrnn fit"
        )
    verdict, best = "", None
    if "val/macro_accuracy" in curves:
        best, score = max(curves["val/macro_accuracy"], key=lambda point: point[1])
        verdict = f"the highest macro accuracy on validation clips, {score:.3f}, is that of epoch "
        verdict += f"{best:.0f} (dotted line)"
        if run.fit and run.fit.get("refit"):
            verdict += "; then it was trained anew, with the validation clips too"
    last = max(x for points in curves.values() for x, _ in points)
    charts = []
    for title, unit, names in (
        ("loss", "loss", ("train/loss", "val/loss")),
        ("validation accuracy", "share", ("val/accuracy", "val/macro_accuracy")),
    ):
        lines = {name: curves[name] for name in names if name in curves}
        if lines:
            top = 1.0 if unit == "share" else max(y for points in lines.values() for _, y in points)
            charts.append(Chart(title, "epoch", unit, (1, last), (0, top), lines, mark_x=best))
    return Screen("curves", "Learning curves", verdict, blocks=charts)


def confusion_section(run: Run) -> Screen:
    """The most confused classes as a matrix, and every confusion as a list."""
    names = run.predictions.class_names
    counts = run.predictions.confusions().to_numpy()
    pairs = top_confusions(counts, names)
    if not pairs:
        return Screen("confusion", "Confusion", verdict="no class was taken for another")
    shown, matrix = shown_matrix(counts)
    rows = [
        row(pair.label, pair.pred, pair.clips, Bar(pair.share, tone="bad"), percent(pair.share))
        for pair in pairs[:MAX_CONFUSIONS]
    ]
    which = "classes"
    if len(names) > MAX_CLASSES:
        which = f"{MAX_CLASSES} classes of the most frequent confusions"
    many = f"{len(pairs)} kinds of confusion occur" if len(pairs) > 1 else "one kind occurs"
    verdict = (
        f"{many}; the most frequent is {pairs[0].label} taken for "
        f"{pairs[0].pred} ({pairs[0].share:.0%} of its clips)"
    )
    note = "Rows are the true class, columns what it was taken for, darker by the share of the row."
    if len(shown) > 2:
        note += " Confused classes stand side by side."
    totals = counts.sum(axis=1)[shown].tolist()
    drawn = Matrix(f"clips: {which}", [names[k] for k in shown], matrix.tolist(), totals, note)
    columns = ("true class", "taken for", "clips", "", "share")
    table = TableView("top confusions", columns, rows, filtered="classes")
    return Screen("confusion", "Confusion", verdict, blocks=[drawn, table])


def calibration_section(run: Run) -> Screen:
    """What `diagnose calibration` found, or the bins as they are."""
    if run.calibration:
        return screen_of(run.calibration)
    scored = run.predictions
    bins = reliability(scored.logits(), scored.targets())
    return Screen(
        "calibration",
        "Calibration",
        verdict=f"calibration error {run.summary.metrics['ece']:.3f}",
        blocks=[reliability_chart("as it is", bins)] if bins else [],
        hint="With the best temperature beside it:",
        command=run.command_of("calibration"),
    )


def _asked(run: Run, kind: str, title: str, question: str) -> Screen:
    """A diagnosis, or how to make it."""
    if found := getattr(run, kind):
        return screen_of(found)
    hint = f"{question} Not asked of this run yet:"
    return Screen(kind, title, hint=hint, command=run.command_of(kind))


def environment_section(run: Run) -> Screen:
    """The exact commands, versions, machine and settings."""
    environment = run.environment
    commands = []
    if environment:
        typed = shlex.join(environment["command"])
        commands += [f"# as it was typed, {environment['time']}", typed]
    if run.config:
        config = shlex.quote(str(run.folder / "config.yaml"))
        commands += ["# the same again", f"actionrnn fit --config {config}"]
    commands += ["# these figures", f"actionrnn test --ckpt_path {shlex.quote(run.checkpoint)}"]
    versions = {
        **{key: environment.get(key) for key in ("actionrnn", "git", "python", "platform")},
        "cores": environment.get("cpu_count"),
        "GPU": ", ".join(environment.get("devices", [])) or "none",
        **environment.get("packages", {}),
    }
    rows = [row(str(key), str(value)) for key, value in versions.items() if value]
    about = run.predictions.about
    data = json.dumps(about.get("data", {}), indent=2)
    known = [TableView("environment", ("what", "version"), rows)] if environment else []
    settings = [Text("config.yaml", run.config)] if run.config else []
    scored = _scored_checkpoint(about.get("checkpoint"))
    steps = Text("commands", "\n".join(commands))
    blocks: list[Block] = [*scored, steps, *known, Text("data", data), *settings]
    return Screen("environment", "Environment and commands", blocks=blocks)


def _scored_checkpoint(checkpoint: dict[str, Any] | None) -> list[TableView]:
    """Which file the figures are of; nothing where the predictions do not say."""
    if not checkpoint:
        return []
    rows = [
        row("file", checkpoint["path"]),
        row("SHA-256", checkpoint["sha256"]),
        row("epoch", str(checkpoint["epoch"] + 1)),
    ]
    return [TableView("the checkpoint of these figures", ("what", "value"), rows)]
