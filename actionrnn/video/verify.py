"""Is every clip what it promises to be? Decodes them all, each in a process that may crash."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from actionrnn.video.errors import VideoError, VideoShorter
from actionrnn.video.isolate import DecodeWorker
from actionrnn.video.reader import open_video

Status = Literal["ok", "short", "unreadable"]


@dataclass(frozen=True)
class Verified:
    """What decoding a file found.

    Attributes:
        path: the file.
        status: `ok`; `short`: fewer frames than promised, or damaged ones; `unreadable`.
        num_frames: frames that can be decoded.
        promised: frames that the container announces; 0 if it cannot be opened.
        reason: what is wrong, empty if nothing is.
    """

    path: str
    status: Status
    num_frames: int
    promised: int
    reason: str


@dataclass
class VerifyRequest:
    """Decode one file; see `isolate.Request`."""

    path: str
    reader: str
    quick: bool

    def answer(self) -> Verified:
        """What the file is."""
        video = open_video(self.path, self.reader)
        promised, shortfall = video.num_frames, ""
        # A sequential decode as far as the last frame passes every frame before it.
        wanted = [promised - 1] if self.quick else [0, promised - 1]
        try:
            video.read(wanted)
        except VideoShorter as shorter:
            shortfall = shorter.reason
        notes = [shortfall, *(note for note in video.warnings if "damaged" in note)]
        reason = "; ".join(note for note in notes if note)
        status: Status = "short" if reason else "ok"
        return Verified(self.path, status, video.num_frames, promised, reason)


def verify_paths(
    paths: Iterable[str],
    *,
    reader: str = "auto",
    quick: bool = False,
    num_workers: int = 2,
    timeout_seconds: float = 300.0,
) -> Iterator[Verified]:
    """Check files in parallel; yields one result a file, in order.

    Args:
        paths: video files.
        reader: see `open_video`.
        quick: read the header and the last frame only.
        num_workers: decoding processes.
        timeout_seconds: longest time for one file; a decoder that hangs is stopped.
    """
    workers = [DecodeWorker(timeout_seconds) for _ in range(num_workers)]
    free = list(workers)

    def check(path: str) -> Verified:
        worker = free.pop()
        try:
            return worker.ask(VerifyRequest(path, reader, quick))
        except VideoError as error:
            return Verified(path, "unreadable", 0, 0, error.reason)
        finally:
            free.append(worker)

    try:
        with ThreadPoolExecutor(num_workers) as pool:
            yield from pool.map(check, paths)
    finally:
        for worker in workers:
            worker.close()
