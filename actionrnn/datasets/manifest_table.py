"""The files of a manifest: read, brought into their normal form, and checked."""

import csv
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, SupportsFloat

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from actionrnn.datasets.errors import ManifestError, ManifestNotFound
from actionrnn.errors import CONTROL_CHARACTERS, SURROGATES
from actionrnn.places import at_hand

MANIFEST_NAME, PARQUET_NAME = "manifest.csv", "manifest.parquet"
CLASSES_NAME = "classes.txt"
SPLIT_NAMES = ("train", "val", "test", "unused")
SPLIT_COLUMN = re.compile(r"split[1-9][0-9]*")

_UNFIT_PATH = re.compile("[\r\n]")
_REQUIRED = ("video_id", "path", "label")
_SECONDS = ("start_seconds", "end_seconds")
_CORE = (*_REQUIRED, "group", *_SECONDS)


def _fail(where: str, what: str) -> NoReturn:
    raise ManifestError(f"{where}: {what}")


def manifest_file(root: Path) -> Path | None:
    """The table of a prepared dataset, as CSV or as Parquet; None if there is none.

    Raises:
        ManifestError: if there are both, of which one must be old.
    """
    found = [root / name for name in (MANIFEST_NAME, PARQUET_NAME) if (root / name).is_file()]
    if len(found) > 1:
        _fail(str(root), f"{MANIFEST_NAME} and {PARQUET_NAME} are both there; remove the older one")
    return found[0] if found else None


def read_class_names(path: Path) -> list[str]:
    """The class names of `classes.txt`, one a line.

    Raises:
        ManifestError: if it is absent, empty, or a name is empty or there twice.
    """
    if not path.is_file():
        raise ManifestNotFound(
            f"no class names at {path}; it stands beside {MANIFEST_NAME}, one class per line"
        )
    text = path.read_text(encoding="utf-8-sig")
    # Not splitlines(): a label may hold characters that only Python calls a line break.
    class_names = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    check_class_names(class_names, str(path))
    return class_names


def check_class_names(class_names: list[str], where: str) -> None:
    """Refuse names that are empty, hold control characters, or differ only in case or spaces.

    Raises:
        ManifestError: naming them.
    """
    if not class_names:
        _fail(where, "no classes; at least one class name is needed")
    seen: dict[str, tuple[int, str]] = {}
    for line, name in enumerate(class_names, start=1):
        if not name.strip():
            _fail(where, f"class {line} has an empty name")
        if name != name.strip() or CONTROL_CHARACTERS.search(name):
            _fail(where, f"class {line} {name!r} has spaces at its edge or control characters")
        key = "".join(name.split()).casefold()
        if key in seen:
            first_line, first = seen[key]
            how = "is there twice" if first == name else "differ only in case or spaces"
            both = repr(name) if first == name else f"{first!r} and {name!r}"
            _fail(where, f"classes {first_line} and {line}: {both} {how}; use one spelling")
        seen[key] = (line, name)


def read_parquet(path: Path) -> pd.DataFrame:
    """The columns of a Parquet file, one after the other, so that little is held twice.

    Raises:
        ManifestError: if it is none.
    """
    with at_hand(path) as here:
        try:
            file = pq.ParquetFile(here)
            names = file.schema_arrow.names
            columns = {name: file.read([name]).column(0).to_pandas() for name in names}
        except (pa.ArrowException, OSError, IndexError) as error:
            raise ManifestError(f"{path}: not Parquet: {error}") from error
    return pd.DataFrame(columns, copy=False)


def read_table(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """All cells as str, and each row's line number in the file; blank lines are passed over."""
    lines: list[int] = []
    rows: list[list[str]] = []
    # The csv module and not pandas: it alone tells true line numbers and short rows.
    with at_hand(path) as here, here.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            line = reader.line_num + 1
            for cells in reader:
                if any(cells):
                    if len(cells) != len(header):
                        how = f"{len(cells)} cells, but line 1 names {len(header)} columns"
                        _fail(f"{path}, line {line}", how)
                    rows.append(cells)
                    lines.append(line)
                line = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    if not header:
        _fail(str(path), f"the file is empty; the first line names the columns {', '.join(_CORE)}")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        _fail(f"{path}, line 1", f"column {repeated[0]!r} is there twice")
    columns = zip(*rows, strict=True) if rows else [[] for _ in header]
    return pd.DataFrame(
        {name: pd.Series(column, dtype=str) for name, column in zip(header, columns, strict=True)}
    ), lines


def normalised(raw: pd.DataFrame, where: str, at: Callable[[int], str]) -> pd.DataFrame:
    """The core columns first, then splits, then the rest; str throughout, seconds as float64."""
    columns = [str(c) for c in raw.columns]
    for name in _REQUIRED:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(columns)}"
            _fail(where, f"no column {name!r}{hint}")
    splits = [c for c in columns if SPLIT_COLUMN.fullmatch(c)]
    extras = [c for c in columns if c not in _CORE and c not in splits]
    data: dict[str, pd.Series] = {}
    for name in (*_CORE, *splits, *extras):
        if name in _SECONDS:
            data[name] = _seconds(raw, name, at)
        elif name in columns:
            column = raw[name].reset_index(drop=True)
            if column.dtype == "str":  # millions of texts are not taken apart for nothing
                data[name] = column.fillna("")
            else:
                data[name] = column.astype(object).where(column.notna(), "").astype(str)
        else:
            data[name] = pd.Series([""] * len(raw), dtype=str)
    return pd.DataFrame(data)


def _seconds(raw: pd.DataFrame, name: str, at: Callable[[int], str]) -> "pd.Series[float]":
    if name not in raw.columns:
        return pd.Series(np.full(len(raw), np.nan))
    column = raw[name].reset_index(drop=True)
    if column.dtype.kind in "iuf":
        return column.astype(np.float64)
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(column.astype(object).where(column.notna(), "").tolist()):
        if cell == "":
            continue
        values[row] = seconds_in(cell, name, at, row)
        if np.isnan(values[row]):
            _fail(at(row), f"{name} {cell!r}: leave it empty for the whole file")
    return pd.Series(values)


def seconds_in(cell: str | SupportsFloat, name: str, at: Callable[[int], str], row: int) -> float:
    """The number in a cell of the column `name`.

    Raises:
        ManifestError: if it holds none.
    """
    # float() and not pd.to_numeric: it rounds correctly, and here we can name the bad cell.
    try:
        return float(cell)
    except ValueError:
        _fail(at(row), f"{name} {cell!r} is not a number of seconds")


def check_rows(table: pd.DataFrame, class_names: list[str], at: Callable[[int], str]) -> None:
    """Refuse rows without an id, path or known label, ids that repeat, and impossible segments.

    Args:
        table: in its normal form.
        class_names: the known labels.
        at: where a row stands, for messages.

    Raises:
        ManifestError: naming the first row that is wrong, and its value.
    """
    for name in _REQUIRED:
        for row in _first(table[name] == ""):
            _fail(at(row), f"{name} is empty")
    for name in table.columns.drop(list(_SECONDS)):
        # A file is called what it is called; all else is printed everywhere.
        pattern = _UNFIT_PATH if name == "path" else CONTROL_CHARACTERS
        for row in _first(_holding(table[name], pattern)):
            value = table[name].iloc[row]
            _fail(at(row), f"{name} {value!r} holds a line break or other control characters")
    for row in _first(table["video_id"].duplicated()):
        video_id = table["video_id"].iloc[row]
        first = int(np.flatnonzero(table["video_id"] == video_id)[0])
        _fail(at(row), f"video_id {video_id!r} is there already ({at(first)}); ids must differ")
    for row in _first(~table["label"].isin(class_names)):
        _fail(at(row), _unknown_label(table["label"].iloc[row], class_names))
    for column in [c for c in table.columns if SPLIT_COLUMN.fullmatch(c)]:
        for row in _first(~table[column].isin(SPLIT_NAMES)):
            value = table[column].iloc[row]
            _fail(at(row), f"{column} is {value!r}; one of {', '.join(SPLIT_NAMES)}")
    start, end = table["start_seconds"], table["end_seconds"]
    for row in _first((start < 0) | (end <= start.fillna(0.0)) | np.isinf(start) | np.isinf(end)):
        segment = f"{start.iloc[row]} to {end.iloc[row]}"
        _fail(at(row), f"segment {segment} seconds; 0 <= start < end is needed")


def _holding(texts: "pd.Series[str]", pattern: re.Pattern[str]) -> "pd.Series[bool]":
    """Which texts a pattern is found in; of millions by Arrow, whose texts hold no surrogates."""
    if texts.dtype == "str":
        return texts.str.contains(pattern.pattern.replace(SURROGATES, ""))
    return texts.map(lambda text: bool(pattern.search(text)))


def _first(bad: "pd.Series[bool]") -> list[int]:
    """The first marked row, or none."""
    return [int(row) for row in np.flatnonzero(bad.to_numpy(dtype=bool))[:1]]


def _unknown_label(label: str, class_names: list[str]) -> str:
    folded = {"".join(name.split()).casefold(): name for name in class_names}
    same = folded.get("".join(label.split()).casefold())
    if same is not None:
        return f"label {label!r} and class {same!r} differ only in case or spaces; use one spelling"
    near = difflib.get_close_matches(label, class_names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"label {label!r} is not one of the {len(class_names)} in {CLASSES_NAME}{hint}"
