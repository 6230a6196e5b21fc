"""A shard: the features of some clips in one immutable file, published whole or not at all.

The file is plain safetensors: one tensor `rows` (frames of all its clips, D), and in its metadata
an index of the clips. Its name is the moment of publication and the SHA-256 of its content, so
every changed byte can be found, and of two shards the later one is known.
"""

import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from actionrnn.errors import ActionRNNError

FORMAT = "actionrnn features 1"
SUFFIX = ".safetensors"
NAME = re.compile(r"(\d{20})-([0-9a-f]{32})\.safetensors")
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
class Shard:
    """An opened shard: what its index says, and where its rows lie in the file.

    Attributes:
        path: the file.
        index: columns `video_ids`, `sources`, `contents`, `lengths`, and by position `errors` and
            `warnings`; `num_views` of every clip.
        data_offset: first byte of the rows.
        num_rows, dim, dtype: shape and type of the rows.
    """

    path: Path
    index: dict[str, Any]
    data_offset: int
    num_rows: int
    dim: int
    dtype: str

    @property
    def entries(self) -> list[Entry]:
        """Every clip in it, in the order of its rows."""
        columns = (self.index[name] for name in ("video_ids", "sources", "lengths", "contents"))
        errors, warnings = self.index["errors"], self.index["warnings"]
        return [
            Entry(
                video_id,
                source,
                length,
                errors.get(str(position), ""),
                tuple(warnings.get(str(position), ())),
                content,
            )
            for position, (video_id, source, length, content) in enumerate(
                zip(*columns, strict=True)
            )
        ]

    def rows(self) -> NDArray[np.floating]:
        """All rows, memory-mapped, (num_rows, D)."""
        shape = (self.num_rows, self.dim)
        if self.num_rows == 0:
            return np.zeros(shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.data_offset, shape)

    def verify(self) -> None:
        """Compare every byte of the file with the checksum in its name.

        Raises:
            ActionRNNError: if one differs.
        """
        with open(self.path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.path.name.endswith(f"-{found[:32]}{SUFFIX}"):
            raise ActionRNNError(f"{self.path} is damaged: its checksum differs")


def write_shard(
    folder: Path, clips: Sequence[tuple[Entry, NDArray[np.floating] | None]], about: str = ""
) -> Path:
    """Publish the features of some clips: temporary file in the same folder, sync, rename.

    Args:
        folder: the store.
        clips: each entry with its features (V, T, D), or None for a failure.
        about: what computed them, for the curious.

    Raises:
        ActionRNNError: if the disk is full or the folder cannot be written; nothing is left there.
    """
    content = _content(clips, about)
    name = f"{_moment(folder):020d}-{hashlib.sha256(content).hexdigest()[:32]}{SUFFIX}"
    temporary = folder / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(folder)
    except OSError as error:
        raise ActionRNNError(unwritable(folder, error)) from error
    return folder / name


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


def read_shard(path: Path) -> Shard:
    """Read a shard's header and index, not its rows.

    Raises:
        ActionRNNError: if the file is no shard, is not whole, or its index is damaged.
    """
    try:
        if not NAME.fullmatch(path.name):
            raise ValueError("its name is not that of a shard")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if 8 + length > size:
                raise ValueError("the header is cut off")
            header = json.loads(file.read(length))
        rows, metadata = header["rows"], header["__metadata__"]
        if metadata["format"] != FORMAT:
            raise ValueError(f"format {metadata['format']!r}, wanted {FORMAT!r}")
        if _digest(metadata["index"]) != metadata["index_sha256"]:
            raise ValueError("the checksum of its index differs")
        (first, stop), (num_rows, dim) = rows["data_offsets"], rows["shape"]
        dtype = _DTYPES[rows["dtype"]]
        wanted = num_rows * dim * np.dtype(dtype).itemsize
        if first != 0 or stop != wanted or size != 8 + length + wanted:
            raise ValueError("its size is not what its header says")
        index = json.loads(metadata["index"])
        if num_rows != sum(index["lengths"]) * index["num_views"]:
            raise ValueError("its rows are not those of its clips")
        return Shard(path, index, 8 + length, num_rows, dim, dtype)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ActionRNNError(f"{path} is not a whole feature shard ({error})") from error


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
            "errors": {k: entry.error for k, entry in enumerate(entries) if entry.error},
            "warnings": {k: entry.warnings for k, entry in enumerate(entries) if entry.warnings},
        }
    )
    metadata = {"format": FORMAT, "index": index, "index_sha256": _digest(index), "about": about}
    return save({"rows": np.ascontiguousarray(rows)}, metadata)


_NO_ROWS = np.zeros((0, 1), np.float32)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(folder: Path) -> int:
    """Now in nanoseconds, or just after the newest shard where its clock was ahead of ours."""
    newest = max(
        (path.name for path in folder.glob(f"*{SUFFIX}") if NAME.fullmatch(path.name)), default="0"
    )
    return max(time.time_ns(), int(newest.partition("-")[0]) + 1)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where folders can be synced (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
