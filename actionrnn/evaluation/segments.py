"""Segments of a timeline, as truth and as prediction: plain data, and how they overlap."""

from typing import NamedTuple


class Segment(NamedTuple):
    """A stretch of a video.

    Attributes:
        label: the class.
        start_seconds, end_seconds: from the start of the video; the end is not included.
        score: how sure, the larger the surer; truth has 1.
    """

    label: str
    start_seconds: float
    end_seconds: float
    score: float = 1.0

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_seconds - self.start_seconds


def overlap(a: Segment, b: Segment) -> float:
    """Temporal intersection over union, 0 to 1, whatever the labels."""
    common = min(a.end_seconds, b.end_seconds) - max(a.start_seconds, b.start_seconds)
    if common <= 0:
        return 0.0
    return common / (a.seconds + b.seconds - common)
