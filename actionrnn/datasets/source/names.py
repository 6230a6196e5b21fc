"""Names that others wrote: file names in archives and annotation lines, never to be trusted."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from actionrnn.datasets.errors import ManifestError
from actionrnn.errors import CONTROL_CHARACTERS

_DRIVE = re.compile(r"[A-Za-z]:")
_NO_TEXT = re.compile("[\ud800-\udfff]")  # bytes that could not be decoded
_UNFIT = (
    (
        "is not UTF-8 text",
        _NO_TEXT,
        " (from Latin-1: convmv -f latin1 -t utf8 -r --notest FOLDER)",
    ),
    ("holds a line break", re.compile("[\r\n]"), ""),
)
# What the file systems of Linux, macOS and Windows take for one name, and a path of such names.
_LONGEST_NAME_BYTES, _LONGEST_PATH_BYTES = 255, 1024


def why_unsafe(name: str) -> str:
    """Why a relative file name must not be followed; empty if it may."""
    if not name.strip():
        return "is empty"
    if _NO_TEXT.search(name):
        return "is not UTF-8 text"
    if CONTROL_CHARACTERS.search(name):
        return "holds control characters"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith(("/", "~")) or _DRIVE.match(name):
        return "is not relative"
    if ".." in name.split("/"):
        return "leads outside with '..'"
    encoded = name.encode(errors="surrogatepass")
    longest = max(map(len, encoded.split(b"/")))
    if longest > _LONGEST_NAME_BYTES or len(encoded) > _LONGEST_PATH_BYTES:
        return "is too long"
    return ""


def require_names(names: Sequence[str]) -> None:
    """Refuse names that no table can hold: line breaks, and bytes that are not UTF-8.

    Raises:
        ManifestError: naming the first, how many there are, and what to do.
    """
    for what, pattern, advice in _UNFIT:
        unfit = [name for name in names if pattern.search(name)]
        if unfit:
            raise ManifestError(
                f"{unfit[0]!r}{f' and {len(unfit) - 1} more' if len(unfit) > 1 else ''}: "
                f"the name {what}; rename it{advice}"
            )


def inside(name: str, where: str) -> str:
    """The name, if it stays inside the folder it is relative to.

    Raises:
        ManifestError: saying where it stands (file and line) and what is wrong with it.
    """
    reason = why_unsafe(name)
    if reason:
        raise ManifestError(f"{where}: the file name {name!r} {reason}; rejected")
    return name


def numbered_lines(
    path: Path, errors: Literal["strict", "replace"] = "strict"
) -> Iterator[tuple[str, str]]:
    """Place (`file, line n`) and text of every line that is not blank, right-stripped.

    Args:
        path: a text file in UTF-8.
        errors: `replace` where names in other encodings stand in text that does not matter.

    Raises:
        ManifestError: if the file is not UTF-8 text.
    """
    with path.open(encoding="utf-8-sig", newline=None, errors=errors) as file:
        number = 0
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}, line {number}", line.rstrip()
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path}, after line {number}: not UTF-8 text: {error}") from error
