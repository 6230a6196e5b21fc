"""Files that are whole or not there: published by renaming, told apart by their SHA-256."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

_UNFINISHED = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}(\.\w+)?")


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; when the block ends well it becomes `target`.

    The content reaches the disk before the name does (fsync, rename, fsync of the folder), so
    that a process killed at any moment leaves the old file, or the new one, and never a part.
    Where the block fails, what it wrote is removed. The folder is made if it is not there.

    Raises:
        OSError: if the folder cannot be written or the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{token_hex(4)}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


def publish_bytes(target: Path, content: bytes) -> None:
    """Write a whole file; see `published`."""
    with published(target) as temporary:
        temporary.write_bytes(content)


def publish_text(target: Path, text: str) -> None:
    """Write a whole text file as UTF-8; see `published`."""
    publish_bytes(target, text.encode())


def publish_json(target: Path, content: Any) -> None:
    """Write a whole JSON file; see `published`."""
    publish_text(target, json.dumps(content, indent=2, sort_keys=False) + "\n")


def is_unfinished(name: str) -> bool:
    """Whether a file's name is one that `published` writes to: its process works, or was killed."""
    return _UNFINISHED.fullmatch(name) is not None


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders, and keeps names itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits; memory does not grow with its size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
