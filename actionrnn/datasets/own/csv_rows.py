"""A table that somebody else wrote, as rows of named cells: its encoding, separator and header."""

import codecs
import csv
import io
from pathlib import Path
from typing import NamedTuple

from actionrnn.datasets.errors import ManifestError
from actionrnn.errors import UsageError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Row(NamedTuple):
    """Where a row stands (file and line), and its cells by the names of their columns."""

    where: str
    cells: dict[str, str]


def read_rows(path: Path, separator: str) -> tuple[list[str], list[Row]]:
    """The names of the columns, and the rows; blank lines are passed over.

    Args:
        path: a CSV in UTF-8, or in UTF-16 with its byte order mark.
        separator: a name of `SEPARATORS`, or one character.

    Raises:
        UsageError: if the separator is neither.
        ManifestError: with file and line, for another encoding, a column named twice, or a row
            with more or fewer cells than columns.
    """
    between = SEPARATORS.get(separator, separator)
    if len(between) != 1 or between in '\r\n"\0':
        raise UsageError(
            f"--separator {separator!r}: one of {', '.join(SEPARATORS)}, or one character"
        )
    rows: list[Row] = []
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=between, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        twice = [name for name in names if name and names.count(name) > 1]
        if twice:
            raise ManifestError(f"{path}, line 1: column {twice[0]!r} is there twice")
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if any(cells) and len(cells) != len(names):
                raise ManifestError(
                    f"{where}: {len(cells)} cells, but line 1 names {len(names)} columns"
                )
            if any(cells):
                rows.append(Row(where, dict(zip(names, cells, strict=True))))
    except csv.Error as error:
        raise ManifestError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    if not rows:
        raise ManifestError(f"{path} lists no clips; line 1 names the columns")
    return names, rows


def _text(path: Path) -> str:
    content = path.read_bytes()
    marks = (name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark))
    encoding = next(marks, "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(
            f"{path}, line {line}: {error.reason} at byte {content[error.start]:#x}: this is not "
            f"{encoding.removesuffix('-sig').upper()}. From Latin-1 (Western Windows): iconv -f "
            f"latin1 -t utf-8, or save it as 'CSV UTF-8'"
        ) from error
    if "\0" in text:
        raise ManifestError(
            f"{path} holds NUL characters: no CSV, or UTF-16 without its mark; save it as UTF-8"
        )
    return text
