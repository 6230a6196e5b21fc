"""A bounded folder of local copies, shared by every process of this user.

A copy in use is a hard link of its own, so that dropping the one that was used least recently never
takes a file from under a reader.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from filelock import FileLock

from actionrnn.errors import Unreachable

FOLDER_VARIABLE, SIZE_VARIABLE = "ACTIONRNN_CACHE", "ACTIONRNN_CACHE_GB"
DEFAULT_GB = 20.0
FILLS = 3  # a copy that is not what was asked for is made again so often
ABANDONED_SECONDS = 24 * 3600.0  # a link that old belongs to no living process
# The folder is looked through again after so much of its size was added by this process.
_SHARE_UNSEEN = 1 / 64
_unseen: dict[Path, int] = {}


def cache_folder() -> Path:
    """Where copies lie: `$ACTIONRNN_CACHE`, or `~/.cache/actionrnn`."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "actionrnn"


def cache_bytes() -> int:
    """How much may lie there, beside what is in use: `$ACTIONRNN_CACHE_GB`, or 20 GB.

    Raises:
        Unreachable: if the variable is no number, or not positive.
    """
    text = os.environ.get(SIZE_VARIABLE, str(DEFAULT_GB))
    try:
        size = float(text) * 1e9
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise Unreachable(f"{SIZE_VARIABLE} is {text!r}: a number of gigabytes is needed")
    return int(size)


@contextmanager
def kept_copy(
    key: str,
    ending: str,
    num_bytes: int,
    fill: Callable[[Path], None],
    check: Callable[[Path], None],
) -> Iterator[Path]:
    """A local copy that stays while the block runs; made where there is none.

    Several processes that want the same one make it once. What is larger than the whole cache is
    dropped after the block.

    Args:
        key: says of which content it is a copy.
        ending: of the file's name.
        num_bytes: how large it will be.
        fill: writes it to a path.
        check: raises if a file is not what was asked for: it is then made again, `FILLS` times.

    Raises:
        Unreachable: if the folder cannot be used; and what `fill` and `check` raise.
    """
    name = hashlib.sha256(key.encode()).hexdigest()[:40] + ending
    folder = cache_folder()
    kept, used = folder / "kept" / name, folder / "used" / f"{os.getpid()}-{token_hex(4)}-{name}"
    try:
        try:
            for place in (kept.parent, used.parent, folder / "locks"):
                place.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / "locks" / name[:2])
            with lock:
                if not _taken(kept, used, check):
                    _make_room(kept.parent, num_bytes)
                    _filled(used, fill, check)
                    if num_bytes <= cache_bytes():
                        os.link(used, kept)
        except FileNotFoundError:  # `fill` found nothing
            raise
        except OSError as error:
            raise Unreachable(
                f"{folder}: local copies cannot be kept there ({error.strerror or error}). Free "
                f"some space, or name another folder, of a file system with hard links, with "
                f"{FOLDER_VARIABLE}"
            ) from error
        yield used
    finally:
        with suppress(OSError):  # Windows keeps what is mapped; it is swept up later
            used.unlink()


def _taken(kept: Path, used: Path, check: Callable[[Path], None]) -> bool:
    """Link to a copy that is there and is what was asked for; a damaged one is removed."""
    try:
        os.link(kept, used)
    except FileNotFoundError:
        return False
    try:
        check(used)
    except Exception:
        used.unlink()
        kept.unlink(missing_ok=True)
        return False
    os.utime(used)
    return True


def _filled(used: Path, fill: Callable[[Path], None], check: Callable[[Path], None]) -> None:
    for attempt in range(1, FILLS + 1):
        fill(used)
        try:
            check(used)
        except Exception:
            if attempt == FILLS:
                raise
        else:
            break
    with used.open("rb") as file:
        os.fsync(file.fileno())


def _make_room(folder: Path, num_bytes: int) -> None:
    """Drop what was used least recently until so many bytes more fit."""
    most = cache_bytes()
    unseen = _unseen.get(folder)
    if unseen is not None and unseen + num_bytes <= most * _SHARE_UNSEEN:
        _unseen[folder] = unseen + num_bytes
        return
    _unseen[folder] = 0
    files = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process drops too
            state = path.stat()
            files.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in files)
    # What all processes may add before they look again is left free.
    aim = most - max(num_bytes, int(most * _SHARE_UNSEEN))
    for _, size, path in sorted(files):
        if total <= aim:
            break
        path.unlink(missing_ok=True)
        total -= size
    old = time.time() - ABANDONED_SECONDS
    for path in (folder.parent / "used").iterdir():
        with suppress(FileNotFoundError, PermissionError):
            if path.stat().st_ctime < old:
                path.unlink()
