"""Which files of a dataset are the same, byte for byte."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from actionrnn.datasets.groups import join_groups, pairs_of_equal
from actionrnn.datasets.manifest import Manifest
from actionrnn.files import sha256_of_file, sha256_of_text
from actionrnn.places import Object, at_hand, is_remote, place, states
from actionrnn.progress import in_threads
from actionrnn.video.formats import pictures_in

CONTENT = "content"
"""Manifest column: the same text for clips whose files are equal, empty for files unlike others.

Without the column, nobody has compared the files.
"""


def equal_files(paths: Sequence[Path]) -> list[str]:
    """For every path 16 hex digits of its content if another path's content is equal, else empty.

    Only files of equal size are read. A folder of pictures counts as one file; paths that do not
    exist, and empty files, are equal to nothing.
    """
    known = states({path for path in paths if is_remote(path)})
    by_size: dict[tuple[int, ...], set[Path]] = defaultdict(set)
    for path in set(paths):
        size = _size(path, known)
        if any(size):
            by_size[size].add(path)
    suspects = sorted(path for twins in by_size.values() if len(twins) > 1 for path in twins)
    found = in_threads(lambda path: _sha256(path, known), suspects, "comparing equal sizes")
    digest = dict(zip(suspects, found, strict=True))
    counts = Counter(digest.values())
    return [
        digest[path][:16] if path in digest and counts[digest[path]] > 1 else "" for path in paths
    ]


def with_content(manifest: Manifest) -> Manifest:
    """The manifest with its `content` column filled in from the files as they are now.

    Two segments of one file have no twin: that they overlap is another check's business.
    """
    content = equal_files([place(os.path.normpath(path)) for path in manifest.video_paths()])
    table = manifest.table.assign(**{CONTENT: content})
    return manifest.with_table(table)


def groups_with_equal_files(table: pd.DataFrame) -> list[str]:
    """Group of every clip of a manifest's table, where clips of equal files share one.

    A split by these groups keeps them in one part, as `check_split` demands.
    """
    names = table["video_id"].tolist()
    content = table[CONTENT].tolist() if CONTENT in table.columns else []
    return join_groups(table["group"].tolist(), pairs_of_equal(content), names)


def _size(path: Path, known: Mapping[Path, Object]) -> tuple[int, ...]:
    if is_remote(path):
        return (known[path].num_bytes,) if path in known else ()
    if path.is_dir():
        return tuple(file.stat().st_size for file in pictures_in(path))
    return (path.stat().st_size,) if path.is_file() else ()


def _sha256(path: Path, known: Mapping[Path, Object]) -> str:
    """Of a file, or of the pictures of a folder in the order of their names."""
    if not is_remote(path) and path.is_dir():
        return sha256_of_text("\n".join(map(sha256_of_file, pictures_in(path))))
    with at_hand(path, known.get(path)) as file:
        return sha256_of_file(file)
