"""Unpack archives of strangers: into a fresh folder, which gets its name only when all is well.

Rejected: absolute names, `..`, links, devices, names that occur twice, and bombs: too many bytes,
members or folders for the size of the archive, or a tar header without end. The libraries write
no more of a member than it says it holds, so that what it says can be counted beforehand. Archives
may hold archives, and a tar.gz may come in numbered parts (`name-00`, `name-01`, ...), each of
them perhaps in a zip of its own.
"""

import bz2
import functools
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from actionrnn.datasets.source.names import why_unsafe
from actionrnn.errors import ActionRNNError
from actionrnn.progress import progress, tell

_KINDS = re.compile(r"\.(zip|rar|tar|tgz|tbz2|txz|tar\.(?:gz|bz2|xz))$", re.IGNORECASE)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d\d)(?P<ending>|\.zip)")
# Video and JPEG hardly shrink, annotation text by 10 to 20; bombs start at 1000.
_MOST_EXPANSION, _ALWAYS_ALLOWED_BYTES = 100, 256 << 20
# A JPEG of a gesture packs to 4,000 bytes, an empty file in a tar.gz to less than one.
_PACKED_BYTES_PER_MEMBER, _ALWAYS_ALLOWED_MEMBERS = 64, 100_000
_DEEPEST = 3
_LONGEST_HEADER_BYTES = 1 << 20
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, gzip.BadGzipFile, RuntimeError),
)


class ArchiveError(ActionRNNError, ValueError):
    """An archive that is damaged, not safe, or of a kind that cannot be unpacked here."""


class _Member(NamedTuple):
    name: str
    is_folder: bool
    is_file: bool
    num_bytes: int
    extract: Callable[[Path], Any]
    """Writes it below a folder."""


def is_archive(path: Path) -> bool:
    """Whether the name says so."""
    return bool(_KINDS.search(path.name))


def find_archives(folder: Path) -> list[list[Path]]:
    """Archives at any depth, in order; the numbered parts of one archive together."""
    found: dict[str, list[Path]] = {}
    for top, subfolders, files in os.walk(folder):
        # Image sequences lie in folders named by a number: millions of files, no archive.
        subfolders[:] = sorted(n for n in subfolders if not n.isdigit() and n[0] != ".")
        for path in (Path(top, name) for name in sorted(files)):
            part = _PART.fullmatch(path.name)
            if part and _is_first(path.with_name(f"{part['stem']}-00{part['ending']}")):
                found.setdefault(str(path.with_name(part["stem"])), []).append(path)
            elif is_archive(path):
                found[str(path)] = [path]
    return list(found.values())


def _is_first(path: Path) -> bool:
    """Whether this is the first of several numbered parts: a zip, or the head of a gzip file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return bool(path.suffix) or file.read(2) == b"\x1f\x8b"


def archive_name(parts: Sequence[Path]) -> str:
    """Name without the ending: what the folder of its contents is called."""
    part = _PART.fullmatch(parts[0].name)
    return part["stem"] if part else _KINDS.sub("", parts[0].name)


class _Budget:
    """Bytes and members that may still come out of an archive and of all archives in it."""

    def __init__(self, parts: Sequence[Path]) -> None:
        packed = sum(part.stat().st_size for part in parts)
        self._num_bytes = max(_ALWAYS_ALLOWED_BYTES, _MOST_EXPANSION * packed)
        self._members = max(_ALWAYS_ALLOWED_MEMBERS, packed // _PACKED_BYTES_PER_MEMBER)

    def spend(self, member: _Member, where: str) -> None:
        """Count a member, and the folders in its name.

        Raises:
            ArchiveError: if it is too much.
        """
        self._num_bytes -= member.num_bytes
        self._members -= 1 + member.name.count("/")
        if self._num_bytes < 0:
            raise ArchiveError(
                f"{where}: unpacks to more than {_MOST_EXPANSION} times its size: a bomb; rejected"
            )
        if self._members < 0:
            raise ArchiveError(f"{where}: too many members for its size: a bomb; rejected")


def extract(parts: Sequence[Path], folder: Path) -> Path:
    """Unpack an archive, and the archives in it, into `folder`, which must not exist yet.

    Nested archives become folders in their place.

    Raises:
        ArchiveError: naming the archive, the member and the reason; nothing is left behind.
    """
    return _extract(parts, folder, _Budget(parts), depth=0)


def _extract(parts: Sequence[Path], folder: Path, budget: _Budget, depth: int) -> Path:
    fresh = folder.with_name(f".{folder.name}.unpacking")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    try:
        _write_members(parts, fresh, budget)
        for nested in find_archives(fresh):
            if depth + 1 > _DEEPEST:
                raise ArchiveError(f"{nested[0]}: archives in archives deeper than {_DEEPEST}")
            inner = nested[0].with_name(archive_name(nested))
            staged = inner.with_name(f".{inner.name}.nested")
            _extract(nested, staged, budget, depth + 1)
            for part in nested:
                part.unlink()
            _merge(staged, inner)
        fresh.rename(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


def _merge(staged: Path, folder: Path) -> None:
    """Rename, or move the contents in where a folder of this name is there already."""
    if not folder.exists():
        staged.rename(folder)
        return
    for path in staged.iterdir():
        if (folder / path.name).exists():
            raise ArchiveError(f"{folder / path.name} comes from two archives")
        path.rename(folder / path.name)
    staged.rmdir()


def _write_members(parts: Sequence[Path], folder: Path, budget: _Budget) -> None:
    archive = str(parts[0])
    with _open_members(parts) as members:
        for member in progress(members, None, f"unpacking {parts[0].name}"):
            name = member.name.rstrip("/").removeprefix("./")
            where = f"{archive}: member {name!r}"
            budget.spend(member, where)
            if name in ("", "."):
                continue
            reason = why_unsafe(name)
            if not reason and not (member.is_file or member.is_folder):
                reason = "is a link or a device"
            if reason:
                raise ArchiveError(f"{where} {reason}; rejected")
            target = folder / name
            if target.exists() and not (member.is_folder and target.is_dir()):
                raise ArchiveError(f"{where} is there twice; rejected")
            if shutil.disk_usage(folder).free < member.num_bytes:
                raise ArchiveError(f"{archive}: no room on the disk of {folder} for {name!r}")
            try:
                member.extract(folder)
            except (FileExistsError, NotADirectoryError):
                raise ArchiveError(f"{where} lies in a member that is no folder") from None


@contextmanager
def _open_members(parts: Sequence[Path]) -> Iterator[Iterator[_Member]]:
    """The members in the order they are stored."""
    path = parts[0]
    with ExitStack() as stack:
        try:
            if all(zipfile.is_zipfile(part) for part in parts):
                opened = [stack.enter_context(zipfile.ZipFile(part)) for part in parts]
                yield chain.from_iterable(map(_zip_members, opened))
            elif path.suffix.lower() == ".rar":
                yield stack.enter_context(_rar_members(path))
            else:
                file = _Joined([stack.enter_context(part.open("rb")) for part in parts])
                unpacked = _Headers(_decompressed(io.BufferedReader(file)), str(path))
                tar = stack.enter_context(tarfile.open(fileobj=unpacked, mode="r|"))
                yield _tar_members(tar, unpacked)
        except _BROKEN as error:
            raise ArchiveError(f"{path}: damaged, or not an archive: {error}") from error


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG)
        yield _Member(
            info.filename,
            info.is_dir(),
            plain and not info.is_dir(),
            info.file_size,
            functools.partial(archive.extract, info),
        )


class _Headers(io.RawIOBase):
    """The bytes of a tar, which ends where a header (names, attributes) is longer than allowed.

    `tarfile` holds a header in memory, however long it says it is.
    """

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where
        self.left = _LONGEST_HEADER_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """As of a file; what is read counts as header unless `left` was raised for it."""
        content = self._file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ArchiveError(f"{self._where}: a header of more than 1 MiB: a bomb; rejected")
        return content


def _decompressed(file: io.BufferedReader) -> IO[bytes]:
    """What a gzip, bzip2 or xz file holds, told by its first bytes; others as they are."""
    head = file.peek(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(file)
    return file


def _tar_members(archive: tarfile.TarFile, headers: _Headers) -> Iterator[_Member]:
    # Absent from the first Pythons of 3.11; the names and kinds are checked above in any case.
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    for info in archive:
        # The content follows, and then the next header, each in whole blocks.
        headers.left = _LONGEST_HEADER_BYTES + info.size
        yield _Member(
            info.name,
            info.isdir(),
            info.isreg(),
            info.size,
            functools.partial(archive.extract, info, set_attrs=False),
        )


@contextmanager
def _rar_members(path: Path) -> Iterator[Iterator[_Member]]:
    try:
        import rarfile
    except ImportError:
        raise ArchiveError(
            f"{path}: rar archives need one more package: pip install 'actionrnn[archives]'; "
            f"or unpack it yourself and pass the folder"
        ) from None
    try:
        with rarfile.RarFile(str(path)) as archive:
            if archive.is_solid():
                tell(f"{path} is solid: it comes out slowly here; `unrar x` is far faster")
            yield (
                _Member(
                    info.filename,
                    info.is_dir(),
                    info.is_file() and not info.file_redir,
                    info.file_size,
                    functools.partial(archive.extract, info),
                )
                for info in archive.infolist()
            )
    except rarfile.RarCannotExec:
        raise ArchiveError(
            f"{path}: unpacking rar needs a program: install unrar, unar, 7zip or bsdtar "
            f"(Debian and Ubuntu: apt install unar), or unpack it yourself and pass the folder"
        ) from None
    except rarfile.Error as error:
        raise ArchiveError(f"{path}: damaged, or not a rar archive: {error}") from error


class _Joined(io.RawIOBase):
    """Files read one after the other as if they were one."""

    def __init__(self, files: Iterable[IO[bytes]]) -> None:
        self._waiting = deque(files)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while self._waiting:
            count = self._waiting[0].readinto(buffer)  # type: ignore[attr-defined]
            if count:
                return int(count)
            self._waiting.popleft()
        return 0
