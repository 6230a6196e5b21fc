"""Is every clip what it promises to be? Decodes them all, each in a process that may crash."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import av

from actionrnn.video.errors import VideoError, VideoShorter
from actionrnn.video.index import index_frames, shorter
from actionrnn.video.isolate import DecoderDied, DecodeWorker
from actionrnn.video.probe import open_container, video_stream
from actionrnn.video.reader import open_video

Status = Literal["ok", "short", "unreadable", "not read"]
# Of a clip: sixteen frames spread over what is left stay within half a frame's place.
NEGLIGIBLE = 0.02
AGAIN = "verify it again, alone and where there is memory: --num_workers 1"
FAULT = re.compile(r"(\d+)(?: of \d+)? (?:frames are damaged|pictures are missing)")


@dataclass(frozen=True)
class Verified:
    """What decoding a file found.

    Attributes:
        path: the file.
        status: `ok`: every picture is there (what a file holds to be never shown, such as XviD's
            placeholders, is no picture); `short`: fewer than promised, or damaged ones;
            `unreadable`; `not read`: the decoder died, twice, which says nothing of the file.
        num_frames: frames that can be decoded (in a quick check: that the header speaks of).
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
    """Check one file; see `isolate.Request`."""

    path: str
    reader: str
    quick: bool

    def answer(self) -> Verified:
        """What the file is; a quick look that finds anything odd is followed by a full decode."""
        is_file = not os.path.isdir(self.path)
        if self.quick and is_file and (announced := frames_if_whole(self.path)) is not None:
            return Verified(self.path, "ok", announced, announced, "")
        video = open_video(self.path, self.reader)
        promised = index_frames(self.path).num_promised if is_file else video.num_frames
        # On its way to the last frame a sequential decode passes every other.
        with contextlib.suppress(VideoShorter):
            video.read([0, video.num_frames - 1])
        found = [match for note in video.warnings if (match := FAULT.search(note))]
        num_lost = sum(int(match[1]) for match in found) + max(0, promised - video.num_frames)
        if not num_lost:
            return Verified(self.path, "ok", video.num_frames, promised, "")
        faults = [match[0] for match in found]
        if video.num_frames < promised:
            faults.append(shorter(promised, video.num_frames))
        share = min(1.0, num_lost / promised)
        matters = "which matters" if share > NEGLIGIBLE else "which hardly matters"
        faults.append(f"{share:.1%} of the clip is lost, {matters}")
        return Verified(self.path, "short", video.num_frames, promised, "; ".join(faults))


def frames_if_whole(path: str) -> int | None:
    """The frames a header speaks of (0: of none); None unless the last picture is where it says."""
    with open_container(path) as container:
        stream = video_stream(container)
        unit_seconds, start = float(stream.time_base or 0), stream.start_time or 0
        duration_seconds = (stream.duration or 0) * unit_seconds
        if not stream.duration and container.duration:  # WebM times the file, not its streams
            duration_seconds = container.duration / av.time_base
        if not duration_seconds or len(stream.index_entries) < stream.frames:
            return None
        try:
            container.seek(start + round(duration_seconds / unit_seconds), stream=stream)
            stamps = [frame.pts for frame in container.decode(stream) if not frame.is_corrupt]
        except av.FFmpegError:
            return None
        last = max((stamp for stamp in stamps if stamp is not None), default=None)
        if last is None:
            return None
        # The last picture is shown for one frame; headers round, hence two.
        missing_seconds = duration_seconds - (last - start) * unit_seconds
        return stream.frames if missing_seconds <= 2 / (stream.average_rate or 25) else None


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
        quick: where the header says how long the file is, decode what follows the last keyframe
            only, and all of it if that is not as the header says.
        num_workers: decoding processes.
        timeout_seconds: longest time for one file; a decoder that hangs is stopped.
    """
    workers = [DecodeWorker(timeout_seconds) for _ in range(num_workers)]
    free = list(workers)

    def check(path: str) -> Verified:
        worker, request = free.pop(), VerifyRequest(path, reader, quick)
        try:
            try:
                return worker.ask(request)
            except DecoderDied:
                return worker.ask(request)  # in a fresh process
        except DecoderDied as error:
            return Verified(path, "not read", 0, 0, f"{error.reason}; {AGAIN}")
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
