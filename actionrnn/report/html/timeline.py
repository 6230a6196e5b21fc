"""A timeline as one page beside its video: a click plays the moment."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from actionrnn.files import publish_text
from actionrnn.live.timeline import Timeline
from actionrnn.report.html.charts import round_ticks
from actionrnn.report.html.page import page_of
from actionrnn.report.timeline import columns_of, ends_of, shown_classes, timeline_screen

HEIGHT = 100  # of a strip, in its own units; it is as wide as it has columns


@dataclass(frozen=True)
class Strip:
    """A class over time.

    Attributes:
        name: the class.
        path: its probability, as the outline of an area.
        bars: left and width of its segments, in columns, and what they say.
    """

    name: str
    path: str
    bars: list[tuple[float, float, str]]


def write_timeline(timeline: Timeline, target: Path) -> None:
    """Write the page; the video is found from it by its relative path, and is not copied."""
    publish_text(target, render(timeline, address_of(timeline.path, target)))


def render(timeline: Timeline, video: str | None) -> str:
    """The page as HTML.

    Args:
        timeline: what was found.
        video: its address as seen from the page; None if there is none to be played.
    """
    begin, end = ends_of(timeline)
    shown = shown_classes(timeline)
    columns_KC = columns_of(timeline, shown)
    return page_of(
        "timeline.html",
        ["page.js", "timeline.js"],
        name=os.path.basename(timeline.path) or timeline.path,
        path=timeline.path,
        video=video,
        screen=timeline_screen(timeline),
        seconds=end - begin,
        statistics=timeline.statistics,
        cost=timeline.cost,
        begin=begin,
        end=end,
        height=HEIGHT,
        num_columns=columns_KC.shape[1],
        num_hidden=len(timeline.class_names) - len(shown),
        strips=[_strip(timeline, k, row_C) for k, row_C in zip(shown, columns_KC, strict=True)],
        ticks=[
            (100 * (at - begin) / (end - begin), _clock(at)) for at in round_ticks(begin, end, 8)
        ],
    )


def address_of(video: str, page: Path) -> str | None:
    """Where a page finds a video; None for a folder of pictures."""
    if os.path.isdir(video):
        return None
    there, here = os.path.abspath(video), os.path.abspath(page.parent)
    try:
        return quote(Path(os.path.relpath(there, here)).as_posix())
    except ValueError:  # another drive of Windows
        return Path(there).as_uri()


def _strip(timeline: Timeline, k: int, row_C: NDArray[np.float64]) -> Strip:
    begin, end = ends_of(timeline)
    name = timeline.class_names[k]
    heights = (HEIGHT * (1 - row_C)).round(1)
    outline = "".join(f"V{height:g}H{n + 1}" for n, height in enumerate(heights))
    scale = len(row_C) / (end - begin)
    bars = [
        (
            round((each.start_seconds - begin) * scale, 2),
            round(each.seconds * scale, 2),
            f"{name} {each.start_seconds:.1f} to {each.end_seconds:.1f} s: {each.score:.0%}",
        )
        for each in timeline.segments
        if each.label == name
    ]
    return Strip(name, f"M0 {HEIGHT}{outline}V{HEIGHT}Z", bars)


def _clock(seconds: float) -> str:
    """`1:02:03`, `2:03`; with tenths where it is not whole."""
    minutes, rest = divmod(seconds, 60)
    last = f"{rest:04.1f}" if rest % 1 else f"{rest:02.0f}"
    hours, minutes = divmod(round(minutes), 60)
    return f"{hours}:{minutes:02}:{last}" if hours else f"{minutes}:{last}"
