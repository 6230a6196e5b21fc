"""The manifest: the one table every later stage reads.

On disk it is two files in one folder: `manifest.csv` (a row per clip) and `classes.txt` (a class
name per line; the line number, from 0, is the label id). Dataset modules write it, everything
else only reads it, so what is checked here need not be checked anywhere else.
"""

import csv
import difflib
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.errors import ActionRNNError, DataRejected

MANIFEST_NAME = "manifest.csv"
CLASSES_NAME = "classes.txt"
SPLIT_NAMES = ("train", "val", "test", "unused")

_REQUIRED = ("video_id", "path", "label")
_SECONDS = ("start_seconds", "end_seconds")
_CORE = (*_REQUIRED, "group", *_SECONDS)
_SPLIT_COLUMN = re.compile(r"split[1-9][0-9]*")
# Clips named per leak, and leaks per message: enough to act on, short enough to read.
_NAMED_CLIPS, _NAMED_LEAKS = 3, 5


class ManifestError(ActionRNNError, ValueError):
    """A manifest that is absent, malformed or inconsistent; says the file, the line, the value."""


class ManifestNotFound(ManifestError, FileNotFoundError):
    """There is no manifest where one was expected."""


@dataclass(frozen=True)
class Leak:
    """Something that lies in more than one of train, val and test.

    Attributes:
        kind: what is shared: a recording group, the same seconds of the same file, or the same
            bytes in files of different names.
        key: the group's name, the file's path as written in the manifest, or the content's hash.
        clips: offending `video_id`s per split name.
    """

    kind: Literal["group", "file", "content"]
    key: str
    clips: dict[str, list[str]]

    def __str__(self) -> str:
        sides = []
        for split, video_ids in self.clips.items():
            named = ", ".join(video_ids[:_NAMED_CLIPS])
            more = len(video_ids) - _NAMED_CLIPS
            sides.append(f"{split}: {named}" + (f" and {more} more" if more > 0 else ""))
        return f"{self.kind} {self.key!r} is in {'; '.join(sides)}"


class LeakError(DataRejected):
    """A split shares a group, a file or a content between train, val and test."""

    def __init__(self, message: str, leaks: tuple[Leak, ...] = ()) -> None:
        super().__init__(message)
        self.leaks = leaks


@dataclass(frozen=True, eq=False)
class Manifest:
    """Which files, which labels, which split.

    The table is checked and normalised on construction: required columns, unique ids, known
    labels and split names, sane segments. Treat it as read-only.

    Attributes:
        root: folder that clip paths are relative to (the folder of `manifest.csv`).
        table: one row per clip, indexed 0..n-1. `video_id, path, label, group` are str (an empty
            group means unknown), `start_seconds, end_seconds` float64 (NaN = from the start / to
            the end), `split1`, `split2`, ... str in `train|val|test|unused`; other columns are
            kept, as str.
        class_names: the label id is the position in this list.

    Raises:
        ManifestError: naming the row (or the file's line, when loaded) and the value.
    """

    root: Path
    table: pd.DataFrame
    class_names: list[str]

    def __post_init__(self) -> None:
        root, class_names = Path(self.root), list(self.class_names)
        where = f"manifest for {root}"
        _check_class_names(class_names, where)
        table = _normalised(self.table, where, lambda row: f"{where}: row {row}")
        _check_rows(table, class_names, lambda row: f"{where}: row {row}")
        object.__setattr__(self, "root", root)
        object.__setattr__(self, "class_names", class_names)
        object.__setattr__(self, "table", table)

    @classmethod
    def load(cls, root_or_csv: str | Path) -> "Manifest":
        """Read `manifest.csv` and `classes.txt` from a folder (or beside the named csv).

        Raises:
            ManifestNotFound: if either file is absent.
            ManifestError: with file and line, for anything wrong inside.
        """
        path = Path(root_or_csv)
        csv_path = path if path.suffix.lower() == ".csv" else path / MANIFEST_NAME
        root = csv_path.parent
        if not csv_path.is_file():
            raise ManifestNotFound(
                f"no manifest at {csv_path}. Write one first, for example: "
                f"actionrnn prepare synthetic --root {root}   or, for your own videos: "
                f"actionrnn prepare folder --source VIDEOS --root {root}"
            )
        class_names = _read_class_names(root / CLASSES_NAME)
        raw, lines = _read_csv(csv_path)

        def at(row: int) -> str:
            return f"{csv_path}, line {lines[row]}"

        table = _normalised(raw, str(csv_path), at)
        _check_rows(table, class_names, at)
        return cls._checked(root, table, class_names)

    @classmethod
    def _checked(cls, root: Path, table: pd.DataFrame, class_names: list[str]) -> "Manifest":
        """Build without a second check, from parts that have passed it."""
        manifest = object.__new__(cls)
        object.__setattr__(manifest, "root", root)
        object.__setattr__(manifest, "table", table)
        object.__setattr__(manifest, "class_names", class_names)
        return manifest

    def save(self, root: str | Path | None = None) -> Path:
        """Write both files into `root` (default: the manifest's own); returns the csv's path.

        Each file is replaced whole or not at all. Loading what was saved gives the same table,
        and saving that again gives the same bytes. Clip paths are written as they are.
        """
        folder = self.root if root is None else Path(root)
        folder.mkdir(parents=True, exist_ok=True)
        classes = "".join(f"{name}\n" for name in self.class_names)
        text = self.table.to_csv(index=False, lineterminator="\n")
        _replace_file(folder / CLASSES_NAME, classes)
        _replace_file(folder / MANIFEST_NAME, text)
        return folder / MANIFEST_NAME

    @property
    def splits(self) -> list[str]:
        """The split columns, in the order of their numbers."""
        found = [c for c in self.table.columns if _SPLIT_COLUMN.fullmatch(c)]
        return sorted(found, key=lambda c: int(c.removeprefix("split")))

    def split(self, column: str, name: str) -> "Manifest":
        """The rows whose `column` says `name`, in table order, with the same class names.

        Raises:
            ManifestError: if there is no such column, or `name` is no split's name.
        """
        if name not in SPLIT_NAMES:
            raise ManifestError(f"unknown split {name!r}; one of {', '.join(SPLIT_NAMES)}")
        rows = (self._split_values(column) == name).to_numpy()
        return self._checked(
            self.root, self.table.loc[rows].reset_index(drop=True), list(self.class_names)
        )

    def label_ids(self) -> NDArray[np.int64]:
        """Label id of every row, (n,)."""
        return (
            pd.Index(self.class_names).get_indexer(pd.Index(self.table["label"])).astype(np.int64)
        )

    def video_paths(self) -> list[Path]:
        """Path of every row's file, joined to `root`, (n,)."""
        return [self.root / path for path in self.table["path"]]

    def find_leaks(self, column: str) -> list[Leak]:
        """Groups, overlapping seconds of one file, and contents that train, val and test share.

        Files are compared by their normalised path, and by the `content` column where there is
        one. Rows with an empty group cannot leak by group, nor rows with an empty content by
        content; `unused` rows cannot leak at all.
        """
        values = self._split_values(column)
        used = self.table.loc[(values != "unused").to_numpy()]
        leaks = [*_shared(used, "group", column), *_shared_files(used, column)]
        if "content" in used.columns:
            leaks += [
                leak for leak in _shared(used, "content", column) if not _one_file(used, leak)
            ]
        return leaks

    def check_split(self, column: str, allow_leak: bool = False) -> list[Leak]:
        """Refuse a split that shares a group, a file or a content between train, val and test.

        Returns:
            The leaks found: always empty unless `allow_leak`, so that whoever goes on
            regardless can mark the results.

        Raises:
            LeakError: naming the shared groups and files and the clips on each side.
        """
        leaks = self.find_leaks(column)
        if leaks and not allow_leak:
            named = "\n".join(f"  {leak}" for leak in leaks[:_NAMED_LEAKS])
            more = len(leaks) - _NAMED_LEAKS
            raise LeakError(
                f"{column} of {self.root} leaks: clips of one recording are in more than one of "
                f"train, val and test, so scores would be too good.\n{named}"
                + (f"\n  and {more} more" if more > 0 else "")
                + "\nMake a split by whole groups (actionrnn prepare ... --val 0.2 --test 0.2), "
                "or pass --allow-leak to go on with every result marked as leaked.",
                tuple(leaks),
            )
        return leaks

    def split_hash(self, column: str) -> str:
        """16 hex digits that change when any clip changes its id, label or side of the split.

        The order of rows, `unused` rows and all other columns do not matter.
        """
        values = self._split_values(column)
        used = self.table.loc[(values != "unused").to_numpy()]
        rows = sorted(zip(used["video_id"], used["label"], used[column], strict=True))
        text = "".join(f"{video_id}\t{label}\t{split}\n" for video_id, label, split in rows)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _split_values(self, column: str) -> "pd.Series[str]":
        if column not in self.splits:
            raise ManifestError(
                f"{self.root / MANIFEST_NAME} has no split column {column!r}; "
                + (f"it has {', '.join(self.splits)}" if self.splits else "it has none at all")
            )
        return self.table[column]


def _fail(where: str, what: str) -> NoReturn:
    raise ManifestError(f"{where}: {what}")


def _replace_file(path: Path, text: str) -> None:
    """Write to a temporary file in the same folder, then rename over `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    os.replace(temporary, path)


def _read_class_names(path: Path) -> list[str]:
    if not path.is_file():
        raise ManifestNotFound(
            f"no class names at {path}; it stands beside {MANIFEST_NAME}, one class per line"
        )
    text = path.read_text(encoding="utf-8-sig")
    # Not splitlines(): a label may hold characters that only Python calls a line break.
    class_names = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    _check_class_names(class_names, str(path))
    return class_names


def _check_class_names(class_names: list[str], where: str) -> None:
    if not class_names:
        _fail(where, "no classes; at least one class name is needed")
    seen: dict[str, tuple[int, str]] = {}
    for line, name in enumerate(class_names, start=1):
        if not name.strip():
            _fail(where, f"class {line} has an empty name")
        if name != name.strip() or "\n" in name or "\r" in name:
            _fail(where, f"class {line} {name!r} has spaces at its edge or a line break inside")
        key = "".join(name.split()).casefold()
        if key in seen:
            first_line, first = seen[key]
            how = "is there twice" if first == name else "differ only in case or spaces"
            both = repr(name) if first == name else f"{first!r} and {name!r}"
            _fail(where, f"classes {first_line} and {line}: {both} {how}; use one spelling")
        seen[key] = (line, name)


def _read_csv(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """All cells as str, and each row's line number in the file; blank lines are passed over."""
    lines: list[int] = []
    rows: list[list[str]] = []
    # The csv module and not pandas: it alone tells true line numbers and short rows.
    with path.open(encoding="utf-8-sig", newline="") as file:
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


def _normalised(raw: pd.DataFrame, where: str, at: Callable[[int], str]) -> pd.DataFrame:
    """The core columns first, then splits, then the rest; str throughout, seconds as float64."""
    columns = [str(c) for c in raw.columns]
    for name in _REQUIRED:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(columns)}"
            _fail(where, f"no column {name!r}{hint}")
    splits = [c for c in columns if _SPLIT_COLUMN.fullmatch(c)]
    extras = [c for c in columns if c not in _CORE and c not in splits]
    data: dict[str, pd.Series] = {}
    for name in (*_CORE, *splits, *extras):
        if name in _SECONDS:
            data[name] = _seconds(raw, name, at)
        elif name in columns:
            column = raw[name].reset_index(drop=True)
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
        # float() and not pd.to_numeric: it rounds correctly, and here we can name the bad cell.
        try:
            values[row] = float(cell)
        except ValueError:
            _fail(at(row), f"{name} {cell!r} is not a number of seconds")
        if np.isnan(values[row]):
            _fail(at(row), f"{name} {cell!r}: leave it empty for the whole file")
    return pd.Series(values)


def _check_rows(table: pd.DataFrame, class_names: list[str], at: Callable[[int], str]) -> None:
    for name in _REQUIRED:
        for row in _first(table[name] == ""):
            _fail(at(row), f"{name} is empty")
    for name in table.columns.drop(list(_SECONDS)):
        for row in _first(table[name].str.contains(r"[\r\n]", regex=True)):
            _fail(at(row), f"{name} {table[name].iloc[row]!r} holds a line break")
    for row in _first(table["video_id"].duplicated()):
        video_id = table["video_id"].iloc[row]
        first = int(np.flatnonzero(table["video_id"] == video_id)[0])
        _fail(at(row), f"video_id {video_id!r} is there already ({at(first)}); ids must differ")
    for row in _first(~table["label"].isin(class_names)):
        _fail(at(row), _unknown_label(table["label"].iloc[row], class_names))
    for column in [c for c in table.columns if _SPLIT_COLUMN.fullmatch(c)]:
        for row in _first(~table[column].isin(SPLIT_NAMES)):
            value = table[column].iloc[row]
            _fail(at(row), f"{column} is {value!r}; one of {', '.join(SPLIT_NAMES)}")
    start, end = table["start_seconds"], table["end_seconds"]
    for row in _first((start < 0) | (end <= start.fillna(0.0)) | np.isinf(start) | np.isinf(end)):
        segment = f"{start.iloc[row]} to {end.iloc[row]}"
        _fail(at(row), f"segment {segment} seconds; 0 <= start < end is needed")


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


def _shared(used: pd.DataFrame, kind: Literal["group", "content"], column: str) -> list[Leak]:
    """Values of the column `kind` that lie in two parts of the split; empty ones are nobody's."""
    known = used.loc[(used[kind] != "").to_numpy(), [kind, column, "video_id"]]
    pairs = known[[kind, column]].drop_duplicates()
    shared = pairs[kind][pairs[kind].duplicated()].unique()
    rows = known.loc[known[kind].isin(shared).to_numpy()]
    return [
        Leak(kind, str(key), _clips_by_split(members, column))
        for key, members in rows.groupby(kind, sort=kind == "group")
    ]


def _one_file(used: pd.DataFrame, leak: Leak) -> bool:
    """Whether the clips of a leak are segments of a single file, which may not overlap."""
    clips = [video_id for ids in leak.clips.values() for video_id in ids]
    paths = used.loc[used["video_id"].isin(clips).to_numpy(), "path"]
    return bool(paths.map(os.path.normpath).nunique() == 1)


def _clips_by_split(members: pd.DataFrame, column: str) -> dict[str, list[str]]:
    sides = {name: members.loc[members[column] == name, "video_id"] for name in SPLIT_NAMES}
    return {name: ids.tolist() for name, ids in sides.items() if len(ids)}


def _shared_files(used: pd.DataFrame, column: str) -> list[Leak]:
    """Sweep over each file's segments by start; only files in two splits are looked at."""
    file = used["path"].map(os.path.normpath)
    pairs = pd.DataFrame({"file": file, "split": used[column]}).drop_duplicates()
    shared = pairs["file"][pairs["file"].duplicated()].unique()
    of_shared = file.isin(shared).to_numpy()
    rows = used.loc[of_shared]
    rows = rows.assign(
        file=file.loc[of_shared],
        start=rows["start_seconds"].fillna(0.0),
        end=rows["end_seconds"].fillna(np.inf),
    )
    leaks = []
    for _, members in rows.sort_values(["file", "start"], kind="stable").groupby("file"):
        offenders: dict[str, dict[str, None]] = {}
        latest: dict[str, tuple[float, str]] = {}
        for split, video_id, start, end in zip(
            members[column], members["video_id"], members["start"], members["end"], strict=True
        ):
            for other, (other_end, other_id) in latest.items():
                if other != split and other_end > start:
                    offenders.setdefault(other, {})[other_id] = None
                    offenders.setdefault(split, {})[video_id] = None
            if split not in latest or end > latest[split][0]:
                latest[split] = (end, video_id)
        if offenders:
            clips = {name: list(offenders[name]) for name in SPLIT_NAMES if name in offenders}
            leaks.append(Leak("file", str(members["path"].iloc[0]), clips))
    return leaks
