"""Progress of an extraction: rate, time left, bad clips, and what it is waiting for."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actionrnn.features.machine import Busy
from actionrnn.features.shard import Entry

SECONDS_PER_LINE = 10.0


class ExtractionProgress:
    """A bar on a terminal, a line every ten seconds elsewhere; on stderr.

    Args:
        total: clips to extract.
        stages: the threads of every stage, by its name.
        enabled: false is silent.
        share: `(i, n)` of a process that does not work alone, to tell it from the others.
    """

    def __init__(
        self,
        total: int,
        stages: Mapping[str, Busy],
        enabled: bool = True,
        share: tuple[int, int] | None = None,
    ) -> None:
        self.total = total
        self.stages = stages
        self.enabled = enabled
        self._name = "extract" if share is None else f"extract {share[0]}/{share[1]}"
        self.clips = self.pictures = self.bad = 0
        self._started = self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if enabled and console.is_terminal:
            self._bar = Progress(
                TextColumn(self._name),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("extract", total=total, status="")

    def __enter__(self) -> "ExtractionProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self.enabled:
            seconds = time.monotonic() - self._started
            done = f"{self.clips} of {self.total} clips in {seconds:.1f} s"
            rest = "" if error is None else "; what is done is kept, the next run continues"
            print(f"{self._name}: {done}: {self.status()}{rest}", file=sys.stderr, flush=True)

    def status(self) -> str:
        """Rates and the bottleneck, in words: the stage whose threads are busiest."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        shares = {name: busy.share() for name, busy in self.stages.items()}
        slow = max(shares, key=shares.__getitem__)
        bad = f", {self.bad} unreadable" if self.bad else ""
        return (
            f"{self.clips / seconds:.1f} clips/s, {self.pictures / seconds:.0f} frames/s{bad}; "
            f"limited by {slow}"
        )

    def advance(self, entry: Entry, num_views: int) -> None:
        """One more clip is done."""
        self.clips += 1
        self.pictures += entry.num_frames * num_views
        self.bad += bool(entry.error)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, status=self.status())
        elif self.enabled and time.monotonic() - self._last_line > SECONDS_PER_LINE:
            self._last_line = time.monotonic()
            elapsed = self._last_line - self._started
            left = (self.total - self.clips) * elapsed / self.clips
            done = f"{self._name}: {self.clips} of {self.total} clips"
            line = f"{done}: {self.status()}; {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
