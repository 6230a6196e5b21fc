"""What is inside the files of a dataset: which are no videos, which are the same byte for byte."""

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from actionrnn.datasets.manifest import Manifest
from actionrnn.files import sha256_of_file, sha256_of_text
from actionrnn.progress import progress
from actionrnn.video.errors import VideoError
from actionrnn.video.images import numbered_images
from actionrnn.video.probe import open_container

CONTENT = "content"
"""Manifest column: the same text for clips whose files are equal, empty for files unlike others.

Without the column, nobody has compared the files.
"""

# Opening a header waits for the disk far longer than it computes.
_READERS = 8


def unreadable(paths: Sequence[Path]) -> dict[Path, str]:
    """Why a file, or folder of pictures, cannot be opened; only headers are read.

    `actionrnn verify` decodes every frame; this finds what is plainly no video.
    """

    def why(path: Path) -> str:
        try:
            if path.is_dir():
                numbered_images(path)
            else:
                open_container(str(path)).close()
        except VideoError as error:
            return error.reason
        return ""

    with ThreadPoolExecutor(_READERS) as pool:
        reasons = progress(pool.map(why, paths), len(paths), "opening every clip")
        return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def equal_files(paths: Sequence[Path]) -> list[str]:
    """For every path 16 hex digits of its content if another path's content is equal, else empty.

    Only files of equal size are read. A folder of pictures counts as one file; paths that do not
    exist, and empty files, are equal to nothing.
    """
    by_size: dict[tuple[int, ...], set[Path]] = defaultdict(set)
    for path in set(paths):
        size = _size(path)
        if any(size):
            by_size[size].add(path)
    suspects = sorted(path for twins in by_size.values() if len(twins) > 1 for path in twins)
    with ThreadPoolExecutor(_READERS) as pool:
        found = progress(pool.map(_sha256, suspects), len(suspects), "comparing equal sizes")
        digest = dict(zip(suspects, found, strict=True))
    counts: dict[str, int] = defaultdict(int)
    for text in digest.values():
        counts[text] += 1
    return [
        digest[path][:16] if path in digest and counts[digest[path]] > 1 else "" for path in paths
    ]


def with_content(manifest: Manifest) -> Manifest:
    """The manifest with its `content` column filled in from the files as they are now.

    Two segments of one file have no twin: that they overlap is another check's business.
    """
    content = equal_files([Path(os.path.normpath(path)) for path in manifest.video_paths()])
    table = manifest.table.assign(**{CONTENT: content})
    return Manifest(manifest.root, table, manifest.class_names)


def _size(path: Path) -> tuple[int, ...]:
    if path.is_dir():
        return tuple(file.stat().st_size for file in sorted(path.iterdir()))
    return (path.stat().st_size,) if path.is_file() else ()


def _sha256(path: Path) -> str:
    """Of a file, or of the files of a folder in the order of their names."""
    if path.is_dir():
        return sha256_of_text("\n".join(map(sha256_of_file, sorted(path.iterdir()))))
    return sha256_of_file(path)
