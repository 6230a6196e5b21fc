"""The figures of recordings in which things begin and end, as a screen."""

import math

from actionrnn.evaluation.intervals import MIN_GROUPS
from actionrnn.evaluation.timeline_summary import HEADLINES, NUM_DRAWS, TimelineSummary
from actionrnn.report.run_screens import CLASSES_SHOWN, LEAKED
from actionrnn.report.screen import Screen, TableView, row, shown_interval


def timeline_summary_screen(summary: TimelineSummary) -> Screen:
    """What `test` and `validate` print of a run that was trained on timelines."""
    rows = [
        row(
            HEADLINES[key],
            None if math.isnan(each.value) else each.value,
            shown_interval(each.interval, each.missing),
        )
        for key, each in summary.figures.items()
    ]
    unread = summary.num_unreadable
    title = (
        f"{summary.subset}: {summary.num_recordings} recordings, {summary.hours:.2f} hours, "
        f"{summary.num_segments} segments"
        + (f", {unread} unreadable, in which nothing is found" if unread else "")
    )
    classes = [
        row(each.label, each.segments, each.frame_ap)
        for each in sorted(summary.per_class, key=lambda each: (each.frame_ap or 0.0, each.label))
    ]
    groups = summary.num_groups
    verdict = f"intervals: {NUM_DRAWS} bootstrap samples of the {groups} recordings"
    if groups < MIN_GROUPS:
        verdict = f"no intervals: {groups} recordings say too little of others"
    figures = TableView(title, ("figure", "value", "95 % interval"), rows)
    by_class = "average precision of the frames of each class, worst first"
    columns = ("class", "segments", "frame AP")
    blocks = [figures, TableView(by_class, columns, classes, most=CLASSES_SHOWN)]
    alarm = LEAKED if summary.leaked else ""
    return Screen("timelines", "Timelines", verdict, alarm, blocks=blocks)
