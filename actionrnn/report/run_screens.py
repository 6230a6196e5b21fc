"""The figures of a run, and the difference of two, as screens."""

from actionrnn.evaluation.figures import HEADLINES
from actionrnn.evaluation.intervals import MIN_GROUPS_FOR_VERDICT, NUM_DRAWS, too_few
from actionrnn.evaluation.paired import Comparison
from actionrnn.evaluation.summary import ClassFigures, Summary
from actionrnn.report.screen import Bar, Screen, TableView, number, row, shown_interval, signed

# Below this the intervals rest on the assumption of one more group (see `intervals.figure`).
FEW_GROUPS = 20
CLASSES_SHOWN = 30
LEAKED = (
    "LEAKED: training and test share recordings; these figures are not a measure of generalisation"
)


def summary_screen(summary: Summary) -> Screen:
    """What `test` and `validate` print."""
    rows = [
        row(HEADLINES[key], each.value, shown_interval(each.interval, each.missing))
        for key, each in summary.figures.items()
    ]
    figures = TableView(title_of(summary), ("figure", "value", "95 % interval"), rows)
    blocks = [figures, classes_table(summary.per_class)]
    note = interval_note(summary.num_groups)
    return Screen("summary", "Summary", note, alarms(summary), blocks=blocks)


def alarms(summary: Summary) -> str:
    """What must be said before any figure is believed."""
    part = f"PART: {summary.part} were scored; these are no figures of the whole"
    return "\n".join([part] * bool(summary.part) + [LEAKED] * summary.leaked)


def title_of(summary: Summary) -> str:
    """What was scored, in a line."""
    views = f", {summary.num_views} views each" if summary.num_views > 1 else ""
    unreadable = summary.num_unreadable
    return (
        f"{summary.subset}: {summary.part or f'{summary.num_clips} clips'}{views}, "
        f"{summary.num_groups} groups"
        + (f", {unreadable} unreadable and counted wrong" if unreadable else "")
    )


def interval_note(num_groups: int) -> str:
    """What the intervals rest on, and when to distrust them."""
    if num_groups == 1:
        return "no intervals: all clips are one group, and one recording says nothing of others"
    if too_few(num_groups):
        return f"no intervals: {num_groups} groups (recordings) say too little of others"
    note = f"intervals: {NUM_DRAWS} bootstrap samples of the {num_groups} groups (recordings)"
    if num_groups < FEW_GROUPS:
        note += f"; with fewer than {FEW_GROUPS} they are wide, and rough"
    return note


def classes_table(per_class: list[ClassFigures]) -> TableView:
    """Every class that has clips, the worst first."""
    scored = [each for each in per_class if each.accuracy is not None]
    empty = len(per_class) - len(scored)
    rows = [
        row(
            each.label,
            each.clips,
            Bar(each.accuracy, each.interval),
            each.accuracy,
            shown_interval(each.interval, each.missing),
            number(each.precision, missing="never predicted"),
            each.f1,
        )
        for each in sorted(scored, key=lambda each: (each.accuracy or 0.0, each.label))
    ]
    return TableView(
        f"accuracy of each of {len(scored)} classes, worst first",
        ("class", "clips", "", "accuracy", "95 % interval", "precision", "F1"),
        rows,
        note=f"{empty} classes have no clip here" if empty else "",
        most=CLASSES_SHOWN,
        filtered="classes",
    )


def comparison_screen(comparison: Comparison) -> Screen:
    """What `compare` prints of two runs."""
    rows = [
        row(
            HEADLINES[key],
            each.first,
            each.second,
            signed(each.difference),
            shown_interval(each.interval, too_few(each.num_groups), with_sign=True),
            each.verdict,
        )
        for key, each in comparison.figures.items()
    ]
    said = [
        *sentences(comparison),
        f"of {comparison.num_clips} clips, {comparison.only_first_right} are right in A "
        f"alone and {comparison.only_second_right} in B alone",
        interval_note(comparison.num_groups),
    ]
    alarm = "LEAKED: a run was tested on recordings it was trained on" if comparison.leaked else ""
    title = f"A  {comparison.first}\nB  {comparison.second}"
    table = TableView(title, ("figure", "A", "B", "B - A", "95 % interval", "verdict"), rows)
    return Screen("comparison", "Comparison", "\n".join(said), alarm, blocks=[table])


def sentences(comparison: Comparison) -> list[str]:
    """The verdicts in words, one line for each kind."""
    words = {
        "better": "B is better, by more than noise, in",
        "worse": "B is worse, by more than noise, in",
        "noise": "no more than noise:",
        "?": f"{comparison.num_groups} "
        f"{'groups' if comparison.num_groups != 1 else 'group alone'} cannot tell a difference "
        f"from noise (it takes {MIN_GROUPS_FOR_VERDICT}):",
    }
    found = {key: each.verdict for key, each in comparison.figures.items()}
    return [
        f"{start} {', '.join(HEADLINES[key] for key, kind in found.items() if kind == word)}"
        for word, start in words.items()
        if word in found.values()
    ]
