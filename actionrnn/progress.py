"""Progress of slow loops: a bar on a terminal, a line every tenth elsewhere; all on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from actionrnn.errors import shown

Item = TypeVar("Item")
Result = TypeVar("Result")
# Loops that end sooner say nothing.
_QUIET_SECONDS = 2.0


def tell(message: str) -> None:
    """A message for the user, on stderr; names in it cannot command the terminal."""
    print(shown(message, lines=True), file=sys.stderr)


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
            tell(f"{what}: {number}{of_all}, {number / seconds:.0f} per second")


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, num_threads: int = 8
) -> list[Result]:
    """What `function` makes of every item, in order, with progress shown.

    For work that waits for the disk, or in a library that lets other threads run.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        return list(progress(pool.map(function, items), len(items), what))
