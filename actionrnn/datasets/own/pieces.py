"""Annotations become the timeline of their video: seconds, inside of it, one class at a time."""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.own.annotations import Annotation
from actionrnn.datasets.prepare_report import Report

Overlaps = Literal["refuse", "later"]
# Annotations round; a segment that reaches so far beyond its video ends with it, without a word.
_ROUNDING_SECONDS = 0.5


def piece_of(
    annotation: Annotation, times: NDArray[np.float64], fps: float | None, report: Report
) -> Annotation:
    """In seconds, inside of its video.

    Raises:
        ManifestError: if it ends before it starts, or is outside of the video.
    """
    start, end = annotation.start, annotation.end
    if annotation.in_frames and fps is not None:
        start, end = start / fps, end / fps
    elif annotation.in_frames:
        last = len(times) - 1
        if max(start, end) > last:
            raise ManifestError(
                f"{annotation.where}: frames {start:g} to {end:g}, but {annotation.video} has "
                f"{last}; was it annotated at another rate (--fps)?"
            )
        start, end = float(times[max(0, int(start))]), float(times[max(0, int(end))])
    span, length = f"{start:g} to {end:g} s", float(times[-1])
    if start < 0 or end <= start:
        raise ManifestError(
            f"{annotation.where}: {annotation.label!r} lasts from {span}; 0 <= start < end is "
            f"needed"
        )
    if start >= length:
        raise ManifestError(
            f"{annotation.where}: {annotation.label!r} lasts from {span}, but {annotation.video} "
            f"ends at {length:g} s"
        )
    if end > length + _ROUNDING_SECONDS:
        report.add("cut to the end of the video", [
            f"{annotation.where}: {annotation.label} from {span}, the video ends at {length:g} s"
        ])  # fmt: skip
    return annotation._replace(start=start, end=min(end, length), in_frames=False)


def timeline_of(pieces: Sequence[Annotation], overlaps: Overlaps) -> list[Annotation]:
    """Pieces that do not overlap, in order: at every moment the one that began last.

    Those of one class that overlap or touch are one.

    Raises:
        ManifestError: for two of different classes that overlap, where that is refused.
    """
    ordered = sorted(pieces, key=lambda each: (each.start, -each.end))
    if overlaps == "refuse":
        _refuse_overlaps(ordered)
    edges = sorted({edge for each in ordered for edge in (each.start, each.end)})
    found: list[Annotation] = []
    for start, end in itertools.pairwise(edges):
        running = [each for each in ordered if each.start <= start < each.end]
        if not running:
            continue
        top = running[-1]
        if found and found[-1].end == start and found[-1].label == top.label:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(top._replace(start=start, end=end))
    return found


def _refuse_overlaps(ordered: Sequence[Annotation]) -> None:
    last: dict[str, Annotation] = {}
    for piece in ordered:
        for other in last.values():
            if other.label != piece.label and other.end > piece.start + 1e-6:
                raise ManifestError(
                    f"{piece.where}: {piece.label!r} begins at {piece.start:g} s, while "
                    f"{other.label!r} lasts until {other.end:g} s ({other.where}). At a moment one "
                    f"class counts: correct one of them, or pass --overlaps later"
                )
        if piece.label not in last or piece.end > last[piece.label].end:
            last[piece.label] = piece
