"""Files that are whole or not there: published by renaming, told apart by their SHA-256."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from actionrnn.places import is_remote, publishing

# A config has some hundred lines. Aliases of aliases grow without end: what they stand for counts.
_MOST_YAML_BYTES, _MOST_YAML_NODES = 1 << 18, 100_000

_UNFINISHED = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}(\.\w+)?")


@contextmanager
def published(target: Path, ending: str = "") -> Iterator[Path]:
    """A path beside `target` to write to; when the block ends well it becomes `target`.

    The content reaches the disk before the name does (fsync, rename, fsync of the folder), so
    that a process killed at any moment leaves the old file, or the new one, and never a part.
    Where the block fails, what it wrote is removed. The folder is made if it is not there. An
    address gets the whole object at once; see `places.publishing`.

    Args:
        target: the file.
        ending: of the path to write to, for a library that chooses the format by it.

    Raises:
        OSError: if the folder cannot be written or the disk is full.
        Unreachable: if an address cannot be written.
    """
    if is_remote(target):
        with publishing(target, ending) as temporary:
            yield temporary
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{token_hex(4)}{ending}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """A folder to write files to; when the block ends well it becomes `target`, with all of them.

    Raises:
        OSError: if the place cannot be written, the disk is full or `target` holds something.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        folder = Path(temporary, target.name)
        folder.mkdir()
        yield folder
        for file in folder.iterdir():
            sync(file)
        os.rename(folder, target)
    sync(target.parent)


def check_writable(folder: Path) -> None:
    """Say before long work that its result could not be written; a folder may be made.

    Raises:
        PermissionError: naming the folder.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


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


def safe_yaml(text: str) -> Any:
    """What a YAML text says, as plain data; what a stranger wrote in it costs little.

    Raises:
        yaml.YAMLError: if it is not YAML, longer than 256 KiB, nested without end, or if it
            stands for more than 100,000 values, each alias counted in full.
    """
    if len(text.encode(errors="replace")) > _MOST_YAML_BYTES:
        raise yaml.YAMLError(f"longer than {_MOST_YAML_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_nodes(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("nested without end") from None


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Values that a node stands for, each alias in full."""
    if id(node) not in known:
        known[id(node)] = _MOST_YAML_NODES  # until it is counted: a node in itself is endless
        children = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
            if isinstance(node, yaml.SequenceNode)
            else []
        )
        known[id(node)] = 1 + sum(_count_nodes(child, known) for child in children)
    if known[id(node)] >= _MOST_YAML_NODES:
        raise yaml.YAMLError(
            f"stands for more than {_MOST_YAML_NODES:,} values, its aliases counted in full"
        )
    return known[id(node)]
