"""The engine: processes decode, threads compute fixed-size batches across clips, both at once."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import MISSING, Clip, clip_at_hand, content_of
from actionrnn.features.machine import Busy
from actionrnn.features.shard import Entry
from actionrnn.features.store import NOT_READ
from actionrnn.video.decode import ClipFrames
from actionrnn.video.errors import VideoError, VideoNotFound
from actionrnn.video.isolate import DECODING, DecoderDied, DecodeWorker

# Decoded pictures that may wait for the backbone; enough that neither side waits for a slow clip.
MAX_WAITING_BYTES = 128 * 2**20
# A clip that needs longer than this hangs: none of a thousand measured came near.
TIMEOUT_SECONDS = 120.0
TIMEOUT_SECONDS_PER_MEGABYTE = 4.0

OnBadVideo = Literal["record", "raise"]
Extracted = tuple[Entry, NDArray[np.floating] | None]


class DecoderPool:
    """Threads that share decoding processes, which start to load at once.

    Args:
        num_workers: how many.

    Attributes:
        busy: what they do with their time.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.busy = Busy(num_workers)
        self._threads = ThreadPoolExecutor(num_workers, "decoder")
        self._workers = [DecodeWorker(loads=DECODING) for _ in range(num_workers)]
        for worker in self._workers:
            worker.start()
        self._free = list(self._workers)
        self._begun: dict[str, Future[Any]] = {}

    def begin(self, clips: Sequence[Clip]) -> None:
        """Decode the first of the clips that are to be submitted, before there is a backbone."""
        for clip in clips[: self.num_workers + 1]:
            self._begun[clip.video_id] = self._threads.submit(self._decode, clip)

    def submit(self, clip: Clip) -> "Future[Any]":
        """Decode a clip: its frames, or why there are none; and the hash of its content."""
        begun = self._begun.pop(clip.video_id, None)
        return begun or self._threads.submit(self._decode, clip)

    def decode_alone(self, clip: Clip) -> tuple[ClipFrames | VideoError, str]:
        """As `submit`, at once, in a fresh process beside which no other has memory."""
        for worker in self._workers:
            worker.close()
        return self._decode(clip)

    def _decode(self, clip: Clip) -> tuple[ClipFrames | VideoError, str]:
        worker = self._free.pop()
        worker.timeout_seconds = _timeout_seconds(clip)
        try:
            content = ""
            with self.busy:
                try:
                    with clip_at_hand(clip) as here:
                        content = content_of(here)
                        return worker.ask(here.request), content
                except VideoError as error:
                    return error, content
        finally:
            self._free.append(worker)

    def close(self) -> None:
        """Stop at once, whatever is being decoded."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        # A thread whose process is gone reports a crash, which nobody hears any more, and ends.
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True)
        for worker in self._workers:  # one that was just being started again
            worker.close()


def extracted(
    clip: Clip, warnings: tuple[str, ...], content: str, features_VTD: Tensor, dtype: str
) -> Extracted:
    """A clip's entry and features in a dtype, unless they are not finite, which is a failure."""
    with np.errstate(over="ignore"):
        array = features_VTD.numpy().astype(dtype)
    if not np.isfinite(array).all():
        error = f"{clip.request.path!r}: its features are not finite in {dtype}"
        return Entry(clip.video_id, clip.source, 0, error, warnings, content), None
    return Entry(clip.video_id, clip.source, array.shape[1], "", warnings, content), array


def not_extracted(
    clip: Clip, error: VideoError, content: str, on_bad_video: OnBadVideo
) -> Extracted:
    """The entry of a clip that could not be read.

    If its decoder died, nothing is known of the file: the failure says `NOT_READ`, and so does
    that of a file which is there and may not be opened.

    Raises:
        VideoError: the error itself, with `on_bad_video="raise"`.
    """
    if on_bad_video == "raise":
        raise error
    there = isinstance(error, VideoNotFound) and clip.source != MISSING
    unknown = there or isinstance(error, DecoderDied)
    reason = f"{NOT_READ}{error}" if unknown else str(error)
    return Entry(clip.video_id, clip.source, error=reason, content=content), None


def _timeout_seconds(clip: Clip) -> float:
    size = clip.source.partition("-")[0]
    megabytes = int(size) / 1e6 if size.isdecimal() else 0.0
    return TIMEOUT_SECONDS + TIMEOUT_SECONDS_PER_MEGABYTE * megabytes


class _Pending:
    """A decoded clip, some of whose pictures are still to be computed."""

    def __init__(self, clip: Clip, frames: ClipFrames, content: str) -> None:
        self.clip = clip
        self.content = content
        self.warnings = frames.warnings
        self.shape = frames.frames.shape[:2]
        self.remaining = self.shape.numel()
        self.features_ND = torch.empty(0)

    def fill(self, start: int, features_ND: Tensor) -> None:
        if not len(self.features_ND):
            self.features_ND = torch.empty(self.shape.numel(), features_ND.shape[1])
        self.features_ND[start : start + len(features_ND)] = features_ND
        self.remaining -= len(features_ND)

    def extracted(self, dtype: str) -> Extracted:
        features_VTD = self.features_ND.view(*self.shape, -1)
        return extracted(self.clip, self.warnings, self.content, features_VTD, dtype)


class _Piece(NamedTuple):
    """Pictures of one clip that travel in one batch; the first of them is its `start`-th."""

    pending: _Pending
    start: int
    pictures_NCHW: Tensor


class _Batcher:
    """Cuts the pictures of clip after clip into batches of exactly one size."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._pieces: deque[_Piece] = deque()
        self.num_pictures = 0

    def add(self, clip: _Piece) -> None:
        self._pieces.append(clip)
        self.num_pictures += len(clip.pictures_NCHW)

    def take(self, partial: bool) -> list[_Piece]:
        """The next batch; a smaller one only if `partial`; empty if there is none."""
        if self.num_pictures < self._batch_size and not partial:
            return []
        batch: list[_Piece] = []
        room = self._batch_size
        while room and self._pieces:
            pending, start, pictures_NCHW = self._pieces.popleft()
            batch.append(_Piece(pending, start, pictures_NCHW[:room]))
            if len(pictures_NCHW) > room:
                self._pieces.appendleft(_Piece(pending, start + room, pictures_NCHW[room:]))
            room -= len(batch[-1].pictures_NCHW)
        self.num_pictures -= self._batch_size - room
        return batch


class Engine:
    """Clips in, features out, in the order in which they get ready.

    Args:
        backbone: computes.
        decoders: decode.
        dtype: of the features.
        on_bad_video: hand out an unreadable clip as a failure, or raise.

    Attributes:
        stages: its threads, by what they do.

    A clip whose decoder dies is decoded once more, after all others and alone.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        decoders: DecoderPool,
        dtype: str,
        on_bad_video: OnBadVideo,
    ) -> None:
        self._backbone = backbone
        self._decoders = decoders
        self.stages = {"decoding": decoders.busy, "the backbone": backbone.busy}
        self._dtype = dtype
        self._on_bad_video = on_bad_video
        self._batcher = _Batcher(backbone.batch_size)
        self._decoding: dict[Future[Any], Clip] = {}
        self._computing: dict[Future[Any], list[_Piece]] = {}
        self._picture_bytes = 1
        self._died: list[Clip] = []

    def run(self, clips: Iterable[Clip]) -> Iterator[Extracted]:
        """Extract clips, however many, with a bounded number of pictures in memory.

        Where no more can be decoded, what is decoded already is computed first.

        Raises:
            VideoError: for the first unreadable clip, with `on_bad_video="raise"`.
        """
        waiting = iter(clips)
        more = True
        failure: BaseException | None = None
        while True:
            while more and self._may_decode():
                clip = next(waiting, None)
                more = clip is not None
                if clip is not None:
                    self._decoding[self._decoders.submit(clip)] = clip
            last = not more and not self._decoding
            while len(self._computing) <= self._backbone.num_threads and (
                batch := self._batcher.take(partial=last)
            ):
                pictures = torch.cat([piece.pictures_NCHW for piece in batch])
                self._computing[self._backbone.submit(pictures)] = batch
            if not self._decoding and not self._computing:
                if failure is not None:
                    raise failure
                if not self._died:
                    return
                clip = self._died.pop()
                yield from self._decoded(clip, *self._decoders.decode_alone(clip), alone=True)
                continue
            done, _ = wait([*self._decoding, *self._computing], return_when=FIRST_COMPLETED)
            for future in done:
                if future in self._decoding:
                    clip = self._decoding.pop(future)
                    if found := future.exception():
                        failure, more = failure or found, False
                    else:
                        yield from self._decoded(clip, *future.result())
                else:
                    yield from self._computed(self._computing.pop(future), future.result())

    def _may_decode(self) -> bool:
        waiting = self._batcher.num_pictures
        full = waiting * self._picture_bytes >= MAX_WAITING_BYTES
        # One clip more than there are workers, so that none of them waits for this thread.
        return len(self._decoding) <= self._decoders.num_workers and (
            not full or waiting < self._backbone.batch_size
        )

    def _decoded(
        self, clip: Clip, frames: ClipFrames | VideoError, content: str, alone: bool = False
    ) -> Iterator[Extracted]:
        if isinstance(frames, DecoderDied) and not alone:
            self._died.append(clip)
            return
        if isinstance(frames, VideoError):
            yield not_extracted(clip, frames, content, self._on_bad_video)
            return
        pictures_NCHW = frames.frames.flatten(0, 1)
        self._picture_bytes = pictures_NCHW[0].nbytes
        self._batcher.add(_Piece(_Pending(clip, frames, content), 0, pictures_NCHW))

    def _computed(self, batch: list[_Piece], features_ND: Tensor) -> Iterator[Extracted]:
        sizes = [len(piece.pictures_NCHW) for piece in batch]
        for piece, own_ND in zip(batch, features_ND.split(sizes), strict=True):
            piece.pending.fill(piece.start, own_ND)
            if not piece.pending.remaining:
                yield piece.pending.extracted(self._dtype)
