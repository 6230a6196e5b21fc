"""Progress of slow work: a bar on a terminal, a line now and then elsewhere; all on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
    track,
)

from actionrnn.errors import shown

Item = TypeVar("Item")
Result = TypeVar("Result")
# Loops that end sooner say nothing.
_QUIET_SECONDS = 2.0
SECONDS_PER_LINE = 10.0


def tell(message: str) -> None:
    """A message for the user, on stderr; names in it cannot command the terminal."""
    print(shown(message, lines=True), file=sys.stderr, flush=True)


def progress(items: Iterable[Item], total: int | None, what: str) -> Iterator[Item]:
    """The items, with progress shown while they are taken.

    Where the total is not known (None), a line comes every thousand items.
    """
    if sys.stderr.isatty():
        yield from track(items, what, total, console=Console(stderr=True), transient=True)
        return
    started = time.monotonic()
    step = 1000 if total is None else max(total // 10, 1)
    of_all = "" if total is None else f"/{total}"
    for number, item in enumerate(items, start=1):
        yield item
        seconds = time.monotonic() - started
        if number % step == 0 and seconds > _QUIET_SECONDS:
            rate = number / seconds
            tell(f"{what}: {number}{of_all}, {rate:.{0 if rate >= 10 else 1}f} per second")


def byte_progress(
    chunks: Iterable[bytes], what: str, total: int | None, done: int = 0
) -> Iterator[bytes]:
    """The pieces of a file, with progress shown while they come.

    Args:
        chunks: the pieces.
        what: is being done, in words.
        total: bytes of the whole file, if known.
        done: of those, how many came before.
    """
    if not sys.stderr.isatty():
        tell(f"{what}: {done} of {'?' if total is None else total} bytes are here")
        yield from chunks
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for chunk in chunks:
            yield chunk
            bar.advance(task, len(chunk))


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, num_threads: int = 8
) -> list[Result]:
    """What `function` makes of every item, in order, with progress shown.

    For work that waits for the disk, or in a library that lets other threads run.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        return list(progress(pool.map(function, items), len(items), what))


class StatusBar:
    """A bar with words beside it on a terminal, a line every ten seconds elsewhere.

    Args:
        what: is being done.
        total: steps of it.
        enabled: false is silent.
    """

    def __init__(self, what: str, total: int, enabled: bool = True) -> None:
        self.what = what
        self.total = total
        self.enabled = enabled
        self._started = self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if enabled and console.is_terminal:
            self._bar = Progress(
                TextColumn(what),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task(what, total=total, status="")

    @property
    def seconds(self) -> float:
        """Since it was made; never 0."""
        return max(time.monotonic() - self._started, 1e-9)

    def show(self, done: int, status: str) -> None:
        """So many steps are done, 1 <= done; how it goes, in words.

        The time left is told from the rate since the first call: what came before is the start.
        """
        now = time.monotonic()
        since, before = self._first = self._first or (now, done)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, status=status)
        elif self.enabled and now - self._last_line > SECONDS_PER_LINE and done > before:
            self._last_line = now
            left = (self.total - done) * (now - since) / (done - before)
            tell(f"{self.what}: {done} of {self.total} clips: {status}; {left:.0f} s left")

    def __enter__(self) -> "StatusBar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()
