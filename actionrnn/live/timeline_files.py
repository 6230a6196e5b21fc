"""A timeline in the formats that other tools read."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from actionrnn.evaluation.segments import Segment
from actionrnn.files import publish_json, publish_text, published
from actionrnn.live.timeline import Timeline

Writer = Callable[[Timeline, Path], list[Path]]


def _beside(target: Path, ending: str) -> Path:
    """`long.mp4.x` for `long.mp4`: the target's own dots are no ending."""
    return target.with_name(target.name + ending)


def probabilities_table(timeline: Timeline) -> pd.DataFrame:
    """A row per moment: `seconds`, then a column per class."""
    table = pd.DataFrame(timeline.probs_TK, columns=timeline.class_names)
    table.insert(0, "seconds", timeline.seconds_T, allow_duplicates=True)
    return table


def segments_csv(segments: Sequence[Segment]) -> str:
    """`label,start_seconds,end_seconds,score`, a line per segment."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Segment._fields)
    rows.writerows(
        (each.label, f"{each.start_seconds:.3f}", f"{each.end_seconds:.3f}", f"{each.score:.4f}")
        for each in segments
    )
    return text.getvalue()


def srt(segments: Sequence[Segment]) -> str:
    """Subtitles in SubRip's format."""
    cues = [
        f"{number}\n{_clock(each.start_seconds, ',')} --> {_clock(each.end_seconds, ',')}\n"
        f"{_line(each)}\n"
        for number, each in enumerate(segments, start=1)
    ]
    return "\n".join(cues)


def webvtt(segments: Sequence[Segment]) -> str:
    """Subtitles for a `<track>` of an HTML video."""
    cues = [
        f"{_clock(each.start_seconds, '.')} --> {_clock(each.end_seconds, '.')}\n"
        f"{_line(each).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n"
        for each in segments
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _line(segment: Segment) -> str:
    """What is shown: one line, for an empty one would end the cue."""
    return f"{' '.join(segment.label.split())} {segment.score:.0%}"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * max(0.0, seconds))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _csv(timeline: Timeline, target: Path) -> list[Path]:
    segments, frames = _beside(target, ".segments.csv"), _beside(target, ".frames.csv")
    publish_text(segments, segments_csv(timeline.segments))
    publish_text(frames, probabilities_table(timeline).to_csv(index=False, float_format="%.6g"))
    return [segments, frames]


def _whole(ending: str, publish: Callable[[Path, Timeline], None]) -> Writer:
    """A format of one file."""

    def write(timeline: Timeline, target: Path) -> list[Path]:
        publish(_beside(target, ending), timeline)
        return [_beside(target, ending)]

    return write


def _parquet(file: Path, timeline: Timeline) -> None:
    with published(file) as temporary:
        probabilities_table(timeline).to_parquet(temporary, index=False)


WRITERS: dict[str, Writer] = {
    "csv": _csv,
    "json": _whole(".json", lambda file, found: publish_json(file, found.to_dict())),
    "srt": _whole(".srt", lambda file, found: publish_text(file, srt(found.segments))),
    "vtt": _whole(".vtt", lambda file, found: publish_text(file, webvtt(found.segments))),
    "parquet": _whole(".frames.parquet", _parquet),
}
"""By the name of the format: what writes it beside a path, and says which files it wrote."""
