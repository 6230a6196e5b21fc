"""The manifest: the one table every later stage reads.

On disk it is two files in one folder: `manifest.csv` (a row per clip; or `manifest.parquet`, with
the same columns) and `classes.txt` (a class name per line; the line number, from 0, is the label
id). The folder, and every clip, may be on an address; see `places`. Dataset modules write it,
everything else only reads it, so what is checked here need not be checked anywhere else. A third
file, `timelines.csv`, is there where the clips are long recordings in which things begin and end;
see `datasets.timelines`.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.datasets import PREPARERS
from actionrnn.datasets.errors import ManifestError, ManifestNotFound
from actionrnn.datasets.leaks import Leak, find_leaks, leak_error
from actionrnn.datasets.manifest_table import (
    CLASSES_NAME,
    MANIFEST_NAME,
    SPLIT_COLUMN,
    SPLIT_NAMES,
    check_class_names,
    check_rows,
    manifest_file,
    normalised,
    read_class_names,
    read_parquet,
    read_table,
)
from actionrnn.datasets.timelines import TIMELINES_NAME, checked, read_timelines
from actionrnn.files import publish_text, published, sha256_of_text
from actionrnn.places import is_remote, joined, place, refuse_remote


@dataclass(frozen=True, eq=False)
class Manifest:
    """Which files, which labels, which split.

    The table is checked and normalised on construction: required columns, unique ids, known
    labels and split names, sane segments. Treat it as read-only.

    Attributes:
        root: folder that clip paths are relative to (the folder of `manifest.csv`); paths that are
            addresses stand for themselves.
        table: one row per clip, indexed 0..n-1. `video_id, path, label, group` are str (an empty
            group means unknown), `start_seconds, end_seconds` float64 (NaN = from the start / to
            the end), `split1`, `split2`, ... str in `train|val|test|unused`; other columns are
            kept, as str.
        class_names: the label id is the position in this list.
        timelines: segments of the rows, which are whole recordings; see `datasets.timelines`.
            None where a row is a clip of one class.

    Raises:
        ManifestError: naming the row (or the file's line, when loaded) and the value.
    """

    root: Path
    table: pd.DataFrame
    class_names: list[str]
    timelines: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        root, class_names = place(self.root), list(self.class_names)
        where = f"manifest for {root}"
        check_class_names(class_names, where)
        table = normalised(self.table, where, lambda row: f"{where}: row {row}")
        check_rows(table, class_names, lambda row: f"{where}: row {row}")
        timelines = self.timelines
        if timelines is not None:
            timelines = checked(
                timelines, table, class_names, lambda row: f"{where}: segment {row}"
            )
        # A frozen record refuses to be assigned to, so its dictionary is filled.
        vars(self).update(root=root, table=table, class_names=class_names, timelines=timelines)

    @classmethod
    def load(cls, root_or_csv: str | Path) -> "Manifest":
        """Read the table and `classes.txt` from a folder (or beside the named table).

        Raises:
            ManifestNotFound: if either file is absent.
            ManifestError: with file and line, for anything wrong inside.
        """
        path = place(root_or_csv)
        named = path.suffix.lower() in (".csv", ".parquet")
        root = path.parent if named else path
        file = (path if path.is_file() else None) if named else manifest_file(root)
        if file is None:
            name = root.name if root.name in PREPARERS else "folder --source VIDEOS"
            where = "DIR, then copy DIR there" if is_remote(root) else shlex.quote(str(root))
            raise ManifestNotFound(
                f"no manifest at {path if named else root / MANIFEST_NAME}: the dataset is not "
                f"prepared. Do it first: actionrnn prepare {name} --root {where}"
            )
        class_names = read_class_names(root / CLASSES_NAME)
        if file.suffix.lower() == ".parquet":
            raw, lines = read_parquet(file), None
        else:
            raw, lines = read_table(file)

        def at(row: int) -> str:
            return f"{file}, row {row + 1}" if lines is None else f"{file}, line {lines[row]}"

        table = normalised(raw, str(file), at)
        del raw
        check_rows(table, class_names, at)
        path = root / TIMELINES_NAME
        timelines = read_timelines(path, table, class_names) if path.is_file() else None
        return cls._checked(root, table, class_names, timelines)

    @classmethod
    def _checked(
        cls,
        root: Path,
        table: pd.DataFrame,
        class_names: list[str],
        timelines: pd.DataFrame | None,
    ) -> "Manifest":
        """Build without a second check, from parts that have passed it."""
        manifest = object.__new__(cls)
        vars(manifest).update(root=root, table=table, class_names=class_names, timelines=timelines)
        return manifest

    def with_table(self, table: pd.DataFrame) -> "Manifest":
        """The same with another table, which is checked, of these clips or some of them."""
        return Manifest(self.root, table, self.class_names, self._timelines_of(table))

    def _timelines_of(self, table: pd.DataFrame) -> pd.DataFrame | None:
        """The segments of the clips of a table."""
        if self.timelines is None:
            return None
        return self.timelines[self.timelines["video_id"].isin(set(table["video_id"]))]

    def save(self, root: str | Path | None = None) -> Path:
        """Write the files into `root` (default: the manifest's own); returns the table's path.

        The table is CSV, or Parquet where one lies there. Each file is replaced whole or not at
        all. Loading what was saved gives the same table, and saving that again gives the same
        bytes. Clip paths are written as they are.
        """
        folder = self.root if root is None else Path(root)
        refuse_remote("--root", folder, "a dataset is prepared")
        target = manifest_file(folder) or folder / MANIFEST_NAME
        classes = "".join(f"{name}\n" for name in self.class_names)
        publish_text(folder / CLASSES_NAME, classes)
        if self.timelines is None:
            (folder / TIMELINES_NAME).unlink(missing_ok=True)
        else:
            segments = self.timelines.to_csv(index=False, lineterminator="\n")
            publish_text(folder / TIMELINES_NAME, segments)
        with published(target) as temporary:
            if target.suffix == ".parquet":
                self.table.to_parquet(temporary, index=False)
            else:
                self.table.to_csv(temporary, index=False, lineterminator="\n")
        return target

    @property
    def splits(self) -> list[str]:
        """The split columns, in the order of their numbers."""
        found = [c for c in self.table.columns if SPLIT_COLUMN.fullmatch(c)]
        return sorted(found, key=lambda c: int(c.removeprefix("split")))

    def split(self, column: str, name: str) -> "Manifest":
        """The rows whose `column` says `name`, in table order, with the same class names.

        Raises:
            ManifestError: if there is no such column, or `name` is no split's name.
        """
        if name not in SPLIT_NAMES:
            raise ManifestError(f"unknown split {name!r}; one of {', '.join(SPLIT_NAMES)}")
        rows = (self.split_values(column) == name).to_numpy()
        table = self.table.loc[rows].reset_index(drop=True)
        timelines = self._timelines_of(table)
        return self._checked(self.root, table, list(self.class_names), timelines)

    def segments(self, video_id: str) -> pd.DataFrame:
        """The segments of one recording, by time."""
        assert self.timelines is not None
        return self.timelines[(self.timelines["video_id"] == video_id).to_numpy()]

    def label_ids(self) -> NDArray[np.int64]:
        """Label id of every row, (n,)."""
        return (
            pd.Index(self.class_names).get_indexer(pd.Index(self.table["label"])).astype(np.int64)
        )

    def video_paths(self) -> list[Path]:
        """Path of every row's file, joined to `root`, (n,)."""
        return [joined(self.root, path) for path in self.table["path"]]

    def find_leaks(self, column: str) -> list[Leak]:
        """What train, val and test of a split share; see `leaks.find_leaks`."""
        self.split_values(column)
        return find_leaks(self.table, column)

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
            raise leak_error(f"{column} of {self.root}", leaks)
        return leaks

    def split_hash(self, column: str) -> str:
        """16 hex digits that change when any clip changes its id, label or side of the split.

        And when a segment of a timeline changes. The order of rows, `unused` rows and all other
        columns do not matter.
        """
        values = self.split_values(column)
        used = self.table.loc[(values != "unused").to_numpy()]
        rows = sorted(zip(used["video_id"], used["label"], used[column], strict=True))
        text = "".join(f"{video_id}\t{label}\t{split}\n" for video_id, label, split in rows)
        mine = self._timelines_of(used)
        if mine is not None:
            text += mine.sort_values(["video_id", "start_seconds"]).to_csv(index=False)
        return sha256_of_text(text)[:16]

    def split_values(self, column: str) -> "pd.Series[str]":
        """What every row is in a split: train, val, test or unused.

        Raises:
            ManifestError: naming the splits that there are.
        """
        if column not in self.splits:
            raise ManifestError(
                f"{self.root / MANIFEST_NAME} has no split column {column!r}; "
                + (f"it has {', '.join(self.splits)}" if self.splits else "it has none at all")
            )
        return self.table[column]
