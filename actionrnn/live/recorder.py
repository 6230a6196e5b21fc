"""What is watched, as video files: a clip of each event, and the whole with words on it."""

import io
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionrnn.evaluation.segments import Segment
from actionrnn.live.events import Event
from actionrnn.live.overlay import Caption, enlarged, even, jpeg, with_lines
from actionrnn.live.waiting import WaitingLine
from actionrnn.live.watch import Scored
from actionrnn.video.sources import Frame
from actionrnn.video.writer import VideoWriter

PAD_SECONDS = 1.0  # a clip begins so long before its event, and ends so long after
_ROOM = 8
_JPEG_QUALITY = 92
_ENCODING = {"preset": "veryfast", "crf": "21"}


class _Kept(NamedTuple):
    """A frame that waits, as JPEG: raw ones would fill the memory."""

    seconds: float
    jpeg: bytes

    def pixels(self) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self.jpeg)))


class _Clip:
    """The file of an event that lasts, or has ended less than `PAD_SECONDS` ago."""

    def __init__(self, path: Path, fps: float) -> None:
        self.writer = VideoWriter(path, fps, options=_ENCODING)
        self.until_seconds = float("inf")
        self._begins: float | None = None
        self._size: tuple[int, ...] = ()

    def add(self, seconds: float, pixels: NDArray[np.uint8]) -> None:
        if self._begins is None:
            self._begins, self._size = seconds, pixels.shape
        if pixels.shape != self._size:  # a camera that came back with another size
            size = self._size[1], self._size[0]
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        self.writer.add(pixels, seconds - self._begins)

    def close(self) -> None:
        """Publish it, if there was a frame."""
        if self._begins is not None:
            self.writer.close()


class Recorder:
    """Writes in a thread of its own, in memory that does not grow.

    A frame waits until the scores of its moment are there, and then as long as an event may begin
    that it is a part of.

    Args:
        class_names: in the order of the scores.
        fps: of the source.
        span_seconds: time that a sample stands for.
        least_seconds: how long an event lasts before it is reported.
        drops: the oldest waiting frames go where writing does not keep up; else the source waits.
        clips: a folder for a clip of each event.
        film: a file for everything, with words on it.

    Attributes:
        num_dropped: frames that were not recorded.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        fps: float,
        span_seconds: float,
        least_seconds: float,
        drops: bool,
        clips: Path | None = None,
        film: Path | None = None,
    ) -> None:
        self._fps, self._half_span = fps, span_seconds / 2
        self._pad = max(PAD_SECONDS, span_seconds)
        kept = least_seconds + 2 * span_seconds + self._pad
        self._keep_seconds = 0.0 if clips is None else kept
        self._caption = Caption(class_names)
        self._folder = clips
        self._film = None if film is None else _Clip(film, fps)
        self._line: WaitingLine[Frame] = WaitingLine(_ROOM, drops)
        self._told: deque[tuple[Scored, list[Event]]] = deque()
        self._last_events: Sequence[Event] = ()
        self._ahead: deque[_Kept] = deque()  # of moments that are not scored yet
        self._past: deque[_Kept] = deque()
        self._clips: dict[Path, _Clip] = {}
        self._stamp = time.strftime("%Y%m%d-%H%M%S")
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def num_dropped(self) -> int:
        """See the class."""
        return self._line.num_dropped

    def clip_of(self, segment: Segment) -> Path | None:
        """The file of an event's clip."""
        if self._folder is None:
            return None
        name = re.sub(r"[^\w.-]+", "_", segment.label)[:60]
        return self._folder / f"{self._stamp}_{segment.start_seconds:010.3f}_{name}.mp4"

    def see(self, frame: Frame) -> None:
        """A frame has come; in the thread that brings them."""
        self._line.put(frame)

    def judge(self, scored: Scored, events: list[Event]) -> None:
        """The scores of a moment, and what began or ended with it.

        Raises:
            OSError, ValueError: what went wrong with writing.
        """
        self._told.append((scored, events))
        if self._error is not None:
            raise self._error

    def close(self, events: Sequence[Event] = ()) -> None:
        """It is over: what lasts ends with these events, and every file is published.

        Raises:
            OSError, ValueError: what went wrong with writing.
        """
        self._last_events = events
        self._line.close()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while self._go_on():
                pass
            self._happened(self._last_events)
            self._release(float("inf"))
            for clip in self._open():
                clip.close()
        except BaseException as error:  # of this thread; it is raised where scores are told
            self._error = error
            for clip in self._open():
                clip.writer.__exit__(type(error), error, error.__traceback__)
            self._line.close()

    def _go_on(self) -> bool:
        """Take what has come; false when nothing comes any more."""
        told = list(self._told)  # the frames of their moments have come, or wait in the line
        frames = self._line.take(1, _ROOM)
        for frame in frames:
            self._ahead.append(_Kept(frame.seconds, jpeg(even(frame.pixels), _JPEG_QUALITY)))
        for scored, events in told:
            self._told.popleft()
            self._caption.judge(scored, events)
            self._happened(events)
            self._release(scored.seconds + self._half_span)
        return bool(frames or self._told)

    def _open(self) -> list[_Clip]:
        return [*self._clips.values(), *([self._film] if self._film else [])]

    def _happened(self, events: Sequence[Event]) -> None:
        for event in events:
            path = self.clip_of(event.segment)
            if path is None:
                return
            if event.kind == "begin":
                self._clips[path] = clip = _Clip(path, self._fps)
                for kept in self._past:
                    if kept.seconds >= event.segment.start_seconds - self._pad:
                        clip.add(kept.seconds, kept.pixels())
            elif path in self._clips:
                self._clips[path].until_seconds = event.segment.end_seconds + self._pad

    def _release(self, until_seconds: float) -> None:
        """Write the frames whose moments are scored."""
        while self._ahead and self._ahead[0].seconds < until_seconds:
            kept = self._ahead.popleft()
            self._past.append(kept)
            if self._film or self._clips:
                self._write(kept.seconds, kept.pixels())
        while self._past and self._past[0].seconds < until_seconds - self._keep_seconds:
            self._past.popleft()

    def _write(self, seconds: float, pixels: NDArray[np.uint8]) -> None:
        if self._film:
            self._film.add(seconds, with_lines(enlarged(pixels), self._caption.lines))
        for path, clip in list(self._clips.items()):
            if seconds < clip.until_seconds:
                clip.add(seconds, pixels)
            else:
                clip.close()
                del self._clips[path]
