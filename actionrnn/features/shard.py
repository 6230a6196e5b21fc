"""A shard: the features of some clips in one immutable file, published whole or not at all.

The file is plain safetensors: one tensor `rows` (frames of all its clips, D), and in its metadata
an index of the clips. Its name is the moment of publication and the SHA-256 of its content, so
every changed byte can be found, and of two shards the later one is known. The index holds its own
SHA-256 and a CRC-32 of each clip's rows, so that damage is found without reading the whole.
"""

import errno
import hashlib
import json
import os
import re
import stat
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from actionrnn.cache import kept_copy
from actionrnn.errors import ActionRNNError
from actionrnn.files import published, sha256_of_file, sha256_of_text
from actionrnn.places import Object, at_hand, is_remote, listed, read

FORMAT = "actionrnn features 2"
SUFFIX = ".safetensors"
NAME = re.compile(r"([0-9]{20})-([0-9a-f]{32})\.safetensors")
# A shard whose name is further ahead of this machine's clock was not written by anybody's clock.
MOST_AHEAD_NANOSECONDS = 400 * 24 * 3600 * 10**9
_USUAL_HEADER_BYTES = 2**18  # 1,024 clips have less
# What reading a crafted file can raise.
_NOT_A_SHARD = (
    ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError,
)  # fmt: skip
_DTYPES = {"F32": "float32", "F16": "float16"}


@dataclass(frozen=True)
class Entry:
    """One clip's features, or the reason why there are none.

    Attributes:
        video_id: the clip.
        source: what the file was when it was read (`size-mtime_ns`); another means: read again.
        num_frames: T, 0 for a failure.
        error: why the clip could not be read, empty if it could.
        warnings: what was odd about it.
        content: SHA-256 of the file, its first 32 hex digits, empty if that could not be read.
    """

    video_id: str
    source: str
    num_frames: int = 0
    error: str = ""
    warnings: tuple[str, ...] = ()
    content: str = ""


@dataclass(frozen=True)
class Index:
    """The clips of a shard, by position.

    Attributes:
        video_ids, sources, contents, lengths: see Entry.
        checksums: CRC-32 of each clip's rows, 0 for a failure.
        errors, warnings: of the positions that have any.
    """

    video_ids: list[str]
    sources: list[str]
    contents: list[str]
    lengths: list[int]
    checksums: list[int]
    errors: dict[int, str]
    warnings: dict[int, tuple[str, ...]]

    @property
    def entries(self) -> list[Entry]:
        """Every clip."""
        columns = zip(self.video_ids, self.sources, self.lengths, self.contents, strict=True)
        return [
            Entry(
                video_id,
                source,
                length,
                self.errors.get(position, ""),
                self.warnings.get(position, ()),
                content,
            )
            for position, (video_id, source, length, content) in enumerate(columns)
        ]


@dataclass(frozen=True)
class Shard:
    """An opened shard: what its index says, and where its rows lie in the file.

    Attributes:
        path: the file.
        index: its clips.
        num_views: V of every clip.
        data_offset: first byte of the rows.
        num_rows, dim, dtype: shape and type of the rows.
    """

    path: Path
    index: Index
    num_views: int
    data_offset: int
    num_rows: int
    dim: int
    dtype: str

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.data_offset + self.num_rows * self.dim * np.dtype(self.dtype).itemsize

    def rows(self) -> NDArray[np.floating]:
        """All rows, memory-mapped, (num_rows, D); of an address from a local copy.

        Raises:
            ActionRNNError: if that is damaged, or cannot be had.
        """
        shape = (self.num_rows, self.dim)
        if self.num_rows == 0:
            return np.zeros(shape, self.dtype)
        with self._at_hand() as file:
            return np.memmap(file, self.dtype, "r", self.data_offset, shape)

    def verify(self) -> None:
        """Compare every byte of the file with the checksum in its name.

        Raises:
            ActionRNNError: if one differs.
        """
        with self._at_hand() as file:
            if not is_remote(self.path):  # copies were compared
                self._compare(file)

    @contextmanager
    def _at_hand(self) -> Iterator[Path]:
        """The file, or a copy: never stale, for its name says what its content is."""
        try:
            with at_hand(self.path, Object(self.num_bytes, ""), self._compare) as file:
                yield file
        except FileNotFoundError as error:
            raise ActionRNNError(f"{self.path} is not there any more") from error

    def _compare(self, file: Path) -> None:
        if not self.path.name.endswith(f"-{sha256_of_file(file)[:32]}{SUFFIX}"):
            raise ActionRNNError(f"{self.path} is damaged: its checksum differs")


def checksum(rows: NDArray[np.floating]) -> int:
    """CRC-32 of a clip's rows."""
    return zlib.crc32(np.ascontiguousarray(rows).data)


def write_shard(
    folder: Path, clips: Sequence[tuple[Entry, NDArray[np.floating] | None]], about: str = ""
) -> Path:
    """Publish the features of some clips, whole or not at all.

    Args:
        folder: the store.
        clips: each entry with its features (V, T, D), or None for a failure.
        about: what computed them, for the curious.

    Raises:
        ActionRNNError: if the disk is full or the folder cannot be written; nothing is left there.
    """
    content = _content(clips, about)
    digest = hashlib.sha256(content).hexdigest()[:32]
    try:
        path = folder / f"{_moment(folder):020d}-{digest}{SUFFIX}"
        with published(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ActionRNNError(unwritable(folder, error)) from error
    return path


def unwritable(folder: Path, error: OSError) -> str:
    """Why features cannot be written to a folder, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{folder}: the disk is full ({error.strerror}). Free some space (actionrnn features "
            f"prune), and run the same command again: what is done is kept"
        )
    return (
        f"{folder}: features cannot be written there ({error.strerror}). Make it writable, or "
        f"keep them elsewhere with --data.features_dir FOLDER"
    )


def shard_files(folder: Path) -> dict[Path, int | None]:
    """Every shard of a store, by name: the oldest first; on an address with its size in bytes."""
    if not is_remote(folder):
        return dict.fromkeys(sorted(folder.glob(f"*{SUFFIX}")))
    return {
        folder / name: known.num_bytes
        for name, known in sorted(listed(folder).items())
        if name.endswith(SUFFIX)
    }


def read_shard(path: Path, num_bytes: int | None = None) -> Shard:
    """Read a shard's header and index, not its rows.

    Whatever the file holds, it is either a shard that agrees with itself, or an error.

    Args:
        path: the file.
        num_bytes: its size as listed, of an address; see `shard_files`.

    Raises:
        ActionRNNError: if the file is no shard, is not whole, or its index is damaged.
        Unreachable: if an address does not answer.
    """
    try:
        if is_remote(path):
            assert num_bytes is not None
            return _read_remote(path, num_bytes)
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no file")
        with open(path, "rb") as file:
            return _read(path, os.fstat(file.fileno()).st_size, file)
    except _NOT_A_SHARD as error:
        raise ActionRNNError(f"{path} is not a whole feature shard ({error})") from error


def _read_remote(path: Path, size: int) -> Shard:
    """From a copy of the header alone, read in one piece where it is of the usual size."""

    def fill(target: Path) -> None:
        first = read(path, 0, min(size, _USUAL_HEADER_BYTES))
        stop = min(size, 8 + int.from_bytes(first[:8], "little"))
        target.write_bytes(first[:stop] + read(path, len(first), stop))

    def whole(target: Path) -> None:
        with target.open("rb") as file:
            _read(path, size, file)

    key = f"header of {path} {size}"
    with kept_copy(key, ".header", _USUAL_HEADER_BYTES, fill, whole) as copy, copy.open("rb") as f:
        return _read(path, size, f)


def _read(path: Path, size: int, file: BinaryIO) -> Shard:
    name = NAME.fullmatch(path.name)
    if name is None:
        raise ValueError("its name is not that of a shard")
    if int(name[1]) > time.time_ns() + MOST_AHEAD_NANOSECONDS:
        raise ValueError("its name is of a day that is far ahead")
    length = int.from_bytes(file.read(8), "little")
    if 8 + length > size:
        raise ValueError("the header is cut off")
    header = json.loads(file.read(length))
    rows, metadata = header["rows"], header["__metadata__"]
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']!r}, wanted {FORMAT!r}")
    if sha256_of_text(metadata["index"]) != metadata["index_sha256"]:
        raise ValueError("the checksum of its index differs")
    (first, stop), (num_rows, dim) = rows["data_offsets"], rows["shape"]
    dtype = _DTYPES[rows["dtype"]]
    if not _counts([first, stop, num_rows, dim]) or dim == 0:
        raise ValueError("its shape is none")
    wanted = num_rows * dim * np.dtype(dtype).itemsize
    if first != 0 or stop != wanted or size != 8 + length + wanted:
        raise ValueError("its size is not what its header says")
    raw = json.loads(metadata["index"])
    index, num_views = _index_of(raw), raw["num_views"]
    if not _counts([num_views]) or num_views == 0:
        raise ValueError(f"{num_views!r} views")
    if num_rows != sum(index.lengths) * num_views:
        raise ValueError("its rows are not those of its clips")
    return Shard(path, index, num_views, 8 + length, num_rows, dim, dtype)


def _index_of(raw: Mapping[str, Any]) -> Index:
    """The index, if every column is there, of one length and of the right kind."""
    names = ("video_ids", "sources", "contents", "lengths", "checksums")
    video_ids, sources, contents, lengths, checksums = columns = [raw[name] for name in names]
    if any(type(column) is not list or len(column) != len(video_ids) for column in columns):
        raise ValueError("its columns are not of one length")
    errors = {int(position): text for position, text in raw["errors"].items()}
    warnings = {int(position): tuple(texts) for position, texts in raw["warnings"].items()}
    noted = [text for texts in warnings.values() for text in texts]
    for texts in (video_ids, sources, contents, list(errors.values()), noted):
        if not all(type(text) is str for text in texts):
            raise ValueError("a name or a text is none")
        "".join(texts).encode()  # half of a character is an error, which nobody wrote here
    if not all(video_ids) or len(set(video_ids)) != len(video_ids):
        raise ValueError("a clip has no name, or is there twice")
    if not _counts(lengths) or not _counts(checksums):
        raise ValueError("a length or a checksum is no count")
    empty = {position for position, length in enumerate(lengths) if not length}
    if empty != errors.keys() or not all(errors.values()):
        raise ValueError("the clips without frames are not those with errors")
    return Index(video_ids, sources, contents, lengths, checksums, errors, warnings)


def _counts(values: Sequence[object]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _content(clips: Sequence[tuple[Entry, NDArray[np.floating] | None]], about: str) -> bytes:
    arrays = [array for _, array in clips if array is not None]
    rows = np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays] or [_NO_ROWS])
    entries = [entry for entry, _ in clips]
    index = json.dumps(
        {
            "num_views": len(arrays[0]) if arrays else 1,
            "video_ids": [entry.video_id for entry in entries],
            "sources": [entry.source for entry in entries],
            "contents": [entry.content for entry in entries],
            "lengths": [entry.num_frames for entry in entries],
            "checksums": [0 if array is None else checksum(array) for _, array in clips],
            "errors": {k: entry.error for k, entry in enumerate(entries) if entry.error},
            "warnings": {k: entry.warnings for k, entry in enumerate(entries) if entry.warnings},
        }
    )
    about_index = {"index": index, "index_sha256": sha256_of_text(index)}
    metadata = {"format": FORMAT, **about_index, "about": about}
    return save({"rows": np.ascontiguousarray(rows)}, metadata)


_NO_ROWS = np.zeros((0, 1), np.float32)


def _moment(folder: Path) -> int:
    """Now in nanoseconds, or just after the newest shard where its clock was ahead of ours."""
    now = time.time_ns()
    names = (NAME.fullmatch(path.name) for path in shard_files(folder))
    moments = (int(name[1]) for name in names if name)
    known = (moment for moment in moments if moment <= now + MOST_AHEAD_NANOSECONDS)
    return max(now, max(known, default=0) + 1)
