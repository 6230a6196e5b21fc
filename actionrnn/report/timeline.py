"""A timeline as a table and as a picture: which classes, when, how sure."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actionrnn.live.timeline import Timeline
from actionrnn.report.plots import BLUE, new_rows
from actionrnn.report.screen import Screen, TableView, number, row
from actionrnn.report.sheet import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 12
# More columns than this are more than pixels: each then shows its largest value.
MAX_COLUMNS = 1500


def timeline_screen(timeline: Timeline) -> Screen:
    """What `timeline` prints of a video."""
    rows = [
        row(each.label, *(number(n, 2) for n in (each.start_seconds, each.end_seconds, each.score)))
        for each in timeline.segments
    ]
    highest = timeline.probs_TK.max(axis=0)
    best = int(highest.argmax())
    nothing = (
        f"nothing was surely there; the nearest: {timeline.class_names[best]} "
        f"{highest[best]:.2f} at {timeline.seconds_T[timeline.probs_TK[:, best].argmax()]:.2f} s "
        f"(lower --on to see more)"
    )
    table = TableView(timeline.path, ("label", "start s", "end s", "probability"), rows)
    return Screen("timeline", timeline.path, "" if rows else nothing, blocks=[table])


def timeline_figure(timeline: Timeline) -> "Figure":
    """Segments as bars above, probabilities of the classes that come nearest to 1 below.

    Raises:
        ActionRNNError: if matplotlib is not installed.
    """
    shown = shown_classes(timeline)
    height = 0.8 + 0.3 * len(shown)
    figure, (bars, maps) = new_rows([(height, [1.0]), (height + 0.4, [1.0])], width=13.0)
    count = len(timeline.segments)
    figure.suptitle(
        f"{short(timeline.path)}: {count} segment{'s' if count != 1 else ''}", fontsize=12
    )
    _segments(bars[0], timeline, shown)
    _probabilities(maps[0], timeline, shown)
    return figure


def shown_classes(timeline: Timeline) -> list[int]:
    """Those that were found, then those that came nearest to it; at most `MAX_CLASSES`."""
    found = {segment.label for segment in timeline.segments}
    order = sorted(
        range(len(timeline.class_names)),
        key=lambda k: (timeline.class_names[k] not in found, -timeline.probs_TK[:, k].max()),
    )
    return sorted(order[:MAX_CLASSES])


def columns_of(timeline: Timeline, shown: list[int]) -> NDArray[np.float64]:
    """Probabilities as columns of a picture, (classes, columns); see `MAX_COLUMNS`."""
    step = -(-len(timeline.seconds_T) // MAX_COLUMNS)
    starts = np.arange(0, len(timeline.seconds_T), step)
    columns: NDArray[np.float64] = np.maximum.reduceat(timeline.probs_TK[:, shown], starts, axis=0)
    return columns.T


def ends_of(timeline: Timeline) -> tuple[float, float]:
    """Begin and end of what was watched, in seconds."""
    half = timeline.span_seconds / 2
    return float(timeline.seconds_T[0]) - half, float(timeline.seconds_T[-1]) + half


def _segments(axis: "Axes", timeline: Timeline, shown: list[int]) -> None:
    for place, k in enumerate(shown):
        for segment in timeline.segments:
            if segment.label == timeline.class_names[k]:
                axis.barh(
                    place, segment.seconds, left=segment.start_seconds, height=0.7, color=BLUE,
                    alpha=min(1.0, max(0.3, segment.score)),
                )  # fmt: skip
    _classes(axis, timeline, shown)
    axis.set(title="segments (fainter: less sure)", ylim=(len(shown) - 0.5, -0.5))


def _probabilities(axis: "Axes", timeline: Timeline, shown: list[int]) -> None:
    axis.imshow(
        columns_of(timeline, shown), aspect="auto", interpolation="nearest",
        vmin=0, vmax=1, cmap="viridis", extent=(*ends_of(timeline), len(shown) - 0.5, -0.5),
    )  # fmt: skip
    _classes(axis, timeline, shown)
    axis.set(title="probability (dark 0, bright 1)", xlabel="seconds")


def _classes(axis: "Axes", timeline: Timeline, shown: list[int]) -> None:
    axis.set_yticks(range(len(shown)), [short(timeline.class_names[k], 30) for k in shown])
    axis.set_xlim(*ends_of(timeline))
