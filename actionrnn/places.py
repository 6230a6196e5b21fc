"""Data on an address (`s3://bucket/data`, `gs://`, `az://`, `hf://`, `memory://`) through fsspec.

The only place that knows it. An address is an `Address`, which is a Path, so that everything that
joins and shows paths does so with either; a local path is left to pathlib and costs nothing here.
Credentials are found by the storage's own tools and never pass through this program.
"""

import errno
import posixpath
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from fnmatch import fnmatch
from functools import lru_cache
from os import PathLike, fspath, strerror
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self, TypeVar

from actionrnn.cache import kept_copy
from actionrnn.errors import ActionRNNError, Unreachable, UsageError, condensed

if sys.platform == "win32":
    from pathlib import WindowsPath as _LocalPath
else:
    from pathlib import PosixPath as _LocalPath

Result = TypeVar("Result")
# Storages, and the packages that fsspec reaches them with. pathlib makes one slash of two.
PACKAGES = {
    "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "hf": "huggingface_hub", "memory": "fsspec",
}  # fmt: skip
_ADDRESS = re.compile(rf"({'|'.join(PACKAGES)}):[/\\]+(.*)", re.DOTALL)
_CREDENTIALS = re.compile(r"[^/]*:[^/]*@")
# On top of what the storage's own client tries again: 20 s of waiting altogether.
ATTEMPTS, FIRST_WAIT_SECONDS = 6, 0.6
NUM_THREADS = 16
# What will not change by asking again; everything else may be the network or a busy service.
_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
_REFUSED = re.compile(r"credential|token|signature|access.?denied|forbidden|authenti|authori", re.I)


class Object(NamedTuple):
    """What is at an address: its size in bytes, and a text that changes with its content."""

    num_bytes: int
    version: str


class Truncated(Exception):
    """Fewer bytes came than there are."""


def is_remote(path: str | PathLike[str]) -> bool:
    """Whether a path is an address, also where pathlib has made one slash of its two."""
    return _ADDRESS.match(fspath(path)) is not None


def place(path: str | PathLike[str]) -> Path:
    """The Address, or the local Path, that a text or a path stands for.

    Raises:
        UsageError: for an address that holds credentials.
    """
    text = fspath(path)
    found = _ADDRESS.match(text)
    if found is None:
        return Path(text)
    if _CREDENTIALS.match(found[2]):
        raise UsageError(
            f"{found[1]}://...: credentials do not belong in an address, which is written into "
            f"runs and checkpoints; leave them to the storage's environment variables or profile"
        )
    return Address(text)


def joined(root: Path, path: str) -> Path:
    """A path as a manifest holds it, below its root; an address stands for itself."""
    return place(path) if is_remote(path) else root / path


def refuse_remote(option: str, path: str | PathLike[str] | None, what: str) -> None:
    """Refuse an address where there must be a local path.

    Raises:
        UsageError: naming the option.
    """
    if path is not None and is_remote(path):
        raise UsageError(
            f"{option} {place(path)}: {what} on this machine's disk; name a local folder (copies "
            f"of it may lie anywhere)"
        )


class Address(_LocalPath):
    """A path on an address: joined, shown and compared like a Path, read through fsspec.

    It writes nothing: `files.published` does.
    """

    def __str__(self) -> str:
        return super().__str__().replace("\\", "/").replace(":/", "://", 1)

    def resolve(self, strict: bool = False) -> Self:
        """Itself, without `..`."""
        scheme, _, rest = str(self).partition("://")
        return type(self)(f"{scheme}://{posixpath.normpath(rest)}")

    def absolute(self) -> Self:
        """Itself."""
        return self

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return found(self) is not None

    def is_dir(self) -> bool:
        """Whether there is anything below it."""
        return bool(_entries(self))

    def exists(self) -> bool:
        """Whether there is such an object, or anything below it."""
        return self.is_file() or self.is_dir()

    def read_bytes(self) -> bytes:
        """The object's content."""
        known = found(self)
        if known is None:
            raise _not_found(self)
        return read(self, 0, known.num_bytes)

    def read_text(self, encoding: str | None = "utf-8", errors: str | None = None) -> str:
        """The object's content as text, UTF-8 unless told otherwise."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def iterdir(self) -> Generator[Self, None, None]:
        """What is right below it, by name."""
        for name in sorted(_entries(self)):
            yield self / name

    def glob(self, pattern: str) -> Generator[Self, None, None]:
        """What matches a pattern of names, level by level; `**` is none."""
        first, _, rest = pattern.partition("/")
        for child in self.iterdir():
            if fnmatch(child.name, first):
                if not rest:
                    yield child
                elif not set(rest) & set("*?[/"):
                    yield from [child / rest] * (child / rest).is_file()
                else:
                    yield from child.glob(rest)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> NoReturn:
        """Nothing is written through a path."""
        raise OSError(errno.EROFS, "folders of an address are not made", str(self))


# ---- what is there ----------------------------------------------------------------------------


def listed(folder: Path) -> dict[str, Object]:
    """The objects right in a folder of an address, by name, from one listing; {} if there is none.

    Raises:
        Unreachable: if it cannot be listed.
    """
    found = _entries(folder)
    return {name: _object(info) for name, info in found.items() if info["type"] == "file"}


def below(folder: Path) -> dict[str, Object]:
    """The objects anywhere below a folder of an address, by their path from it; {} if none are.

    Raises:
        Unreachable: if they cannot be listed.
    """
    url = _url(folder)
    infos = _patiently(folder, "listing it", lambda: _files(folder).find(url, detail=True))
    own = _files(folder)._strip_protocol(url).strip("/") + "/"
    names = ((name.strip("/"), info) for name, info in infos.items())
    return {name.removeprefix(own): _object(info) for name, info in names if name.startswith(own)}


def found(path: Path) -> Object | None:
    """What is at an address now; None if there is no object.

    Raises:
        Unreachable: if the storage does not say.
    """
    try:
        info = _patiently(path, "looking for it", lambda: _files(path).info(_url(path)))
    except _ANSWERS:
        return None
    return _object(info) if info["type"] == "file" else None


def states(paths: Iterable[Path]) -> dict[Path, Object]:
    """What is at many addresses, from one listing of each of their folders; the others are absent.

    Raises:
        Unreachable: if a folder cannot be listed.
    """
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        listings = dict(zip(folders, threads.map(listed, folders), strict=True))
    return {
        path: listings[folder][path.name]
        for folder, inside in folders.items()
        for path in inside
        if path.name in listings[folder]
    }


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    """What fsspec says of everything right in a folder, by name."""
    url = _url(folder)
    try:
        infos = _patiently(folder, "listing it", lambda: _files(folder).ls(url, detail=True))
    except _ANSWERS:
        return {}
    # A storage answers for an object with itself, and may list a folder in itself.
    own = _files(folder)._strip_protocol(url).strip("/")
    names = ((info["name"].strip("/"), info) for info in infos)
    return {name.rpartition("/")[2]: info for name, info in names if name != own}


def _object(info: dict[str, Any]) -> Object:
    keys = ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "last_modified", "mtime")
    version = next((info[key] for key in (*keys, "created") if info.get(key)), "")
    if isinstance(version, datetime):  # or seconds, as the same file system says elsewhere
        version = version.timestamp()
    return Object(int(info["size"]), str(version).strip('"'))


# ---- reading ----------------------------------------------------------------------------------


def read(path: Path, start: int, stop: int) -> bytes:
    """The bytes from `start` up to `stop`, which the object must have.

    Raises:
        FileNotFoundError: if there is no such object.
        Unreachable: if they cannot be read.
    """

    def once() -> bytes:
        content: bytes = _files(path).cat_file(_url(path), start=start, end=stop)
        if len(content) != stop - start:
            raise Truncated(f"{len(content)} of {stop - start} bytes came")
        return content

    return _patiently(path, "reading it", once) if stop > start else b""


@contextmanager
def at_hand(
    path: str | PathLike[str],
    known: Object | None = None,
    check: Callable[[Path], None] = lambda _: None,
) -> Iterator[Path]:
    """A local file with the content of a path while the block runs: itself, or a copy.

    Args:
        path: of a file.
        known: what is at the address, where it was listed before.
        check: raises if a copy is not what it should be; its size is always compared.

    Raises:
        FileNotFoundError: if there is no such object.
        Unreachable: if it cannot be read, or not be kept here.
    """
    if not is_remote(path):
        yield Path(path)
        return
    address = place(path)
    known = known or found(address)
    if known is None:
        raise _not_found(address)
    num_bytes = known.num_bytes

    def once(target: Path) -> None:
        _files(address).get_file(_url(address), str(target))
        if target.stat().st_size != num_bytes:
            raise Truncated(f"{target.stat().st_size} of {num_bytes} bytes came")

    def fill(target: Path) -> None:
        _patiently(address, "reading it", lambda: once(target))

    def whole(target: Path) -> None:
        if target.stat().st_size != num_bytes:
            raise Truncated
        check(target)

    key = f"{_url(address)}\n{num_bytes} {known.version}"
    with kept_copy(key, address.suffix, num_bytes, fill, whole) as copy:
        yield copy


# ---- writing ----------------------------------------------------------------------------------


@contextmanager
def publishing(target: Path, ending: str = "") -> Iterator[Path]:
    """A local path to write to; when the block ends well its content is put to an address, whole.

    An object is there with its last byte or not at all, so nothing need be renamed.

    Raises:
        Unreachable: if it cannot be put.
    """
    with tempfile.TemporaryDirectory(prefix="actionrnn-") as folder:
        written = Path(folder, f"content{ending}")
        yield written
        put(written, target)


def put(file: Path, target: Path) -> None:
    """Put a file's content to an address, whole.

    Raises:
        Unreachable: if it cannot be put.
    """
    try:
        _patiently(target, "writing it", lambda: _files(target).put_file(str(file), _url(target)))
    except FileNotFoundError as error:
        raise Unreachable(f"{target} cannot be written ({_reason(error)})") from error


def remove(path: Path) -> None:
    """Remove an object, if it is there.

    Raises:
        Unreachable: if it cannot be removed.
    """
    with suppress(FileNotFoundError):
        _patiently(path, "removing it", lambda: _files(path).rm_file(_url(path)))


# ---- fsspec -----------------------------------------------------------------------------------


def _url(path: Path) -> str:
    return str(path.resolve())


def _files(path: Path) -> Any:
    return _file_system(str(path).partition(":")[0])


@lru_cache
def _file_system(scheme: str) -> Any:
    """The file system of fsspec, which remembers no listing: other processes publish too.

    Raises:
        Unreachable: if its package is not installed, or misses credentials.
    """
    try:
        import fsspec

        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        package = PACKAGES[scheme]
        wanted = "'actionrnn[remote]'" if package in ("s3fs", "fsspec") else package
        raise Unreachable(f"{scheme}:// needs {package}: pip install {wanted}") from error
    except ValueError as error:  # what its package misses; a broken network is asked again
        raise Unreachable(
            f"{scheme}:// cannot be opened ({_reason(error)}). Give credentials by the storage's "
            f"own tools (environment variables or profile)"
        ) from error


def _patiently(path: Path, doing: str, action: Callable[[], Result]) -> Result:
    """What an action gives, tried again while the storage is busy or the network breaks.

    Raises:
        FileNotFoundError and its like: which are answers.
        Unreachable: naming the address, the reason and the next step.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (*_ANSWERS, ActionRNNError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # of this machine's disk
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, PermissionError) or _REFUSED.search(text):
                raise Unreachable(
                    f"{path}: {doing} was refused ({_reason(error)}). Renew the credentials, or "
                    f"ask for access, with the storage's own tools (environment variables or "
                    f"profile); then run the same command again: what is done is kept"
                ) from error
            if attempt == ATTEMPTS:
                raise Unreachable(
                    f"{path}: {doing} failed {ATTEMPTS} times ({_reason(error)}). When network "
                    f"and storage answer, run the same command again: what is done is kept"
                ) from error
        time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.7, 1.3))
    raise AssertionError("the last attempt returns or raises")


def _reason(error: Exception) -> str:
    """In words, without what an URL may carry behind its path."""
    return re.sub(r"\?\S+", "?...", condensed(str(error)) or type(error).__name__)


def _not_found(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, strerror(errno.ENOENT), str(path))
