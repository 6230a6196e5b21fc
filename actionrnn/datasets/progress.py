"""Progress of slow loops: a bar on a terminal, a line every tenth elsewhere; all on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
# Loops that end sooner say nothing.
_QUIET_SECONDS = 2.0


def tell(message: str) -> None:
    """One line for the user, on stderr."""
    print(message, file=sys.stderr)


def progress(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, with progress shown while they are taken."""
    if sys.stderr.isatty():
        yield from track(items, what, total, console=Console(stderr=True), transient=True)
        return
    started, tenth = time.monotonic(), 0
    for number, item in enumerate(items, start=1):
        yield item
        if number * 10 // max(total, 1) > tenth:
            tenth = number * 10 // total
            seconds = time.monotonic() - started
            if seconds > _QUIET_SECONDS:
                tell(f"{what}: {number}/{total}, {number / seconds:.0f} per second")
