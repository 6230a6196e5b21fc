"""Progress of an extraction: rate, time left, bad clips, and what it is waiting for."""

from collections.abc import Mapping

from actionrnn.features.machine import Busy
from actionrnn.features.shard import Entry
from actionrnn.progress import StatusBar, tell
from actionrnn.video.decode import LEFT_OUT


class ExtractionProgress:
    """What is shown of an extraction while it runs, and what it came to.

    Args:
        total: clips to extract.
        stages: the threads of every stage, by its name; none if they are not here.
        enabled: false is silent.
        share: `(i, n)` of a process that does not work alone, to tell it from the others.

    Attributes:
        clips, pictures, bad: done so far; clips that could not be read.
        cut: clips whose end the sampling does not reach.
    """

    def __init__(
        self,
        total: int,
        stages: Mapping[str, Busy],
        enabled: bool = True,
        share: tuple[int, int] | None = None,
    ) -> None:
        self.stages = stages
        name = "extract" if share is None else f"extract {share[0]}/{share[1]}"
        self._bar = StatusBar(name, total, enabled)
        self.clips = self.pictures = self.bad = self.cut = 0

    def __enter__(self) -> "ExtractionProgress":
        self._bar.__enter__()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._bar.__exit__()
        if self._bar.enabled:
            done = f"{self.clips} of {self._bar.total} clips in {self._bar.seconds:.1f} s"
            rest = "" if error is None else "; what is done is kept, the next run continues"
            tell(f"{self._bar.what}: {done}: {self.status()}{rest}")

    def status(self) -> str:
        """Rates and the bottleneck, in words: the stage whose threads are busiest."""
        seconds = self._bar.seconds
        shares = {name: busy.share() for name, busy in self.stages.items()}
        slow = f"; limited by {max(shares, key=shares.__getitem__)}" if shares else ""
        bad = f", {self.bad} unreadable" if self.bad else ""
        return (
            f"{self.clips / seconds:.1f} clips/s, {self.pictures / seconds:.0f} frames/s{bad}{slow}"
        )

    def advance(self, entry: Entry, num_views: int) -> None:
        """One more clip is done."""
        self.clips += 1
        self.pictures += entry.num_frames * num_views
        self.bad += bool(entry.error)
        self.cut += is_cut(entry.warnings)
        self._bar.show(self.clips, self.status())


def is_cut(warnings: tuple[str, ...]) -> bool:
    """Whether one of a clip's warnings says that its end is not seen."""
    return any(warning.startswith(LEFT_OUT) for warning in warnings)
