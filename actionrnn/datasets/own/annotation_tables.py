"""Annotations in tables: a CSV of one's own, and what BORIS and ELAN export as CSV or TSV.

BORIS: https://www.boris.unito.it/user_guide/export_events; its tabular events have a row for the
start and one for the stop of a state, its aggregated events one row for both. ELAN, "Export as
tab-delimited text": with header lines, in any of its three notations of time.
"""

from pathlib import Path, PureWindowsPath

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.own.annotations import Annotation, seconds_of
from actionrnn.datasets.own.csv_rows import Row, read_rows

HEADERS = (
    "a CSV of your own has the columns video,start,end,label (and, if you like, group,split); "
    "BORIS's have Behavior and Start (s) or Time; ELAN's have Begin Time and End Time (export with "
    "header lines)"
)
_ELAN_TIMES = ("ss.msec", "hh:mm:ss.ms", "msec")
_ELAN_OTHER = ("Tier", "Participant", "Annotator", "Duration", "Begin Time", "End Time", "File")


def read_table(path: Path) -> list[Annotation]:
    """The annotations of a table, whoever wrote it.

    Raises:
        ManifestError: with file and line.
    """
    names, rows = read_rows(path, _separator(path))
    if "Behavior" in names and "Start (s)" in names:
        return [found for row in rows for found in _boris_aggregated(row)]
    if "Behavior" in names and "Time" in names:
        return _boris_tabular(path, rows)
    if any(name.startswith("Begin Time") for name in names):
        return _elan(path, names, rows)
    if "label" in names and _first(names, "video", "path") and _first(names, "start"):
        return [_own(row, names) for row in rows]
    raise ManifestError(f"{path}, line 1: {', '.join(names[:8])}: not known; {HEADERS}")


def _separator(path: Path) -> str:
    first = path.read_bytes().split(b"\n", 1)[0].replace(b"\0", b"")
    if b"\t" in first:
        return "tab"
    return "semicolon" if b";" in first and b"," not in first else "comma"


def _first(names: list[str], *wanted: str) -> str:
    return next((n for w in wanted for n in (w, f"{w}_seconds") if n in names), "")


def _own(row: Row, names: list[str]) -> Annotation:
    cells = row.cells
    video, label = cells[_first(names, "video", "path")].strip(), cells["label"].strip()
    if not video:
        raise ManifestError(f"{row.where}: video is empty")
    times = [cells[_first(names, name)].strip() for name in ("start", "end")]
    group, part = (cells.get(name, "").strip() for name in ("group", "split"))
    if not label and not any(times):
        return Annotation(row.where, video, group=group, part=part)
    if not label:
        raise ManifestError(f"{row.where}: label is empty (leave out the times too, where nothing "
                            f"happens in the whole video)")  # fmt: skip
    start, end = (seconds_of(text, row.where) for text in times)
    return Annotation(row.where, video, label, start, end, group=group, part=part)


def _boris_video(row: Row) -> str:
    """The first media file that a row names; without one, the observation's id."""
    columns = ("Media file name", "Media file path", "Media file", "Source", "Observation id")
    text = next((row.cells[name] for name in columns if row.cells.get(name, "").strip()), "")
    if not text:
        raise ManifestError(f"{row.where}: no {columns[0]} and no {columns[-1]}")
    first = text.split(";")[0].strip()
    return first.removeprefix("player #1:").removeprefix("Player #1:").strip()


def _boris_aggregated(row: Row) -> list[Annotation]:
    video = _boris_video(row)
    if row.cells.get("Behavior type", "STATE").strip().upper() == "POINT":
        return [Annotation(row.where, video)]  # a moment is no segment
    start, end = (seconds_of(row.cells[name], row.where) for name in ("Start (s)", "Stop (s)"))
    return [Annotation(row.where, video, row.cells["Behavior"].strip(), start, end)]


def _boris_tabular(path: Path, rows: list[Row]) -> list[Annotation]:
    """Starts and stops of one subject and behaviour, taken in pairs."""
    open_at: dict[tuple[str, str, str], tuple[str, float]] = {}
    found = []
    for row in rows:
        video, label = _boris_video(row), row.cells["Behavior"].strip()
        found.append(Annotation(row.where, video))
        kind = (row.cells.get("Behavior type") or row.cells.get("Status") or "").strip().upper()
        key = (video, row.cells.get("Subject", ""), label)
        seconds = seconds_of(row.cells["Time"], row.where)
        if kind == "START":
            if key in open_at:
                raise ManifestError(f"{row.where}: {label!r} starts again before it has stopped")
            open_at[key] = (row.where, seconds)
        elif kind == "STOP":
            if key not in open_at:
                raise ManifestError(f"{row.where}: {label!r} stops, but has not started")
            where, start = open_at.pop(key)
            found.append(Annotation(where, video, label, start, seconds))
        elif kind != "POINT":
            raise ManifestError(f"{row.where}: {kind or 'nothing'!r} is none of START, STOP, POINT")
    for (_, _, label), (where, _) in open_at.items():
        raise ManifestError(f"{where}: {label!r} starts and never stops")
    return found


def _elan(path: Path, names: list[str], rows: list[Row]) -> list[Annotation]:
    notation = next((n for n in _ELAN_TIMES if f"Begin Time - {n}" in names), None)
    if notation is None or f"End Time - {notation}" not in names:
        raise ManifestError(
            f"{path}, line 1: ELAN's times are wanted as one of "
            f"{', '.join(f'Begin Time - {n}' for n in _ELAN_TIMES)}, and the same of End Time"
        )
    files = [name for name in names if name.startswith("File")]
    labels = [name for name in names if name and not name.startswith(_ELAN_OTHER)]
    found = []
    for row in rows:
        video = row.cells[files[0]] if files else path.stem
        video = PureWindowsPath(video).stem  # the .eaf is called as its video is
        given = [row.cells[name].strip() for name in labels if row.cells[name].strip()]
        if len(given) != 1:
            raise ManifestError(
                f"{row.where}: {len(given)} annotations ({', '.join(given)}); one tier is wanted "
                f"that says what happens"
            )
        start, end = (
            seconds_of(row.cells[f"{edge} Time - {notation}"], row.where)
            / (1000 if notation == "msec" else 1)
            for edge in ("Begin", "End")
        )
        found.append(Annotation(row.where, video, given[0], start, end))
    return found
