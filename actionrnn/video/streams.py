"""Cameras, addresses and containers on a pipe: what may stall, break off and come back."""

import glob
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import av
from av.container import InputContainer

from actionrnn.errors import UsageError
from actionrnn.progress import tell
from actionrnn.video.errors import VideoUnreadable
from actionrnn.video.probe import FFMPEG_ERRORS, video_stream
from actionrnn.video.pyav import UprightPixels
from actionrnn.video.sources import FileSource, Frame, RawSource, Source

STALL_SECONDS = 10.0  # nothing came for so long: the connection is taken for lost
LONGEST_WAIT_SECONDS = 30.0
# A clock that jumps by more tells of lost time, and of a stretch that has ended.
JUMP_SECONDS = 2.0
# An HTTP playlist of a stranger must not read files of this machine.
_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,udplite,rtp,srtp,rtsp,rtsps,rtmp,rtmps,srt,crypto"


class StreamSource:
    """What FFmpeg opens and reads in order; see `Source`.

    Lost connections are made again, after waits of 1, 2, 4, ... at most 30 seconds. What has a
    length (a film on a web server) and a pipe are over when they end or break off.

    Args:
        name: for people.
        connect: opens it; called again after a loss.
        retries: attempts to come back before it is given up; 0 for what cannot come back.
        hint: what to do if not one frame comes.
        goes_on: see `Source`; what has a length waits for us all the same.

    Attributes:
        num_losses: how often the connection was lost.
        num_damaged: packets that could not be decoded, or not without faults.

    Raises:
        VideoUnreadable: if it cannot be opened now.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], InputContainer],
        retries: int,
        goes_on: bool,
        hint: str = "",
    ) -> None:
        self.name = name
        self.stopped = threading.Event()
        self.num_losses = self.num_damaged = 0
        self._connect, self._retries, self._hint = connect, retries, hint
        self._pixels_of = UprightPixels()
        self._last_seconds, self._stretch = 0.0, -1
        try:
            self._container = connect()
        except FFMPEG_ERRORS as error:
            raise VideoUnreadable(name, f"it cannot be opened ({_reason(error)})") from error
        if not self._container.streams.video:
            raise VideoUnreadable(name, "it has no video stream")
        self.fps = self._rate()
        self.goes_on = goes_on and not self._container.duration

    def _rate(self) -> float:
        stream = video_stream(self._container)
        return float(stream.average_rate or stream.guessed_rate or 25)

    def frames(self) -> Iterator[Frame]:
        """See `Source`."""
        started = time.monotonic()
        begins = 0.0
        while True:
            reason = "it ended"
            has_length = bool(self._container.duration)
            try:
                with self._container:
                    yield from self._connection(begins)
            except FFMPEG_ERRORS as error:
                reason = _reason(error)
            # What has a length would begin again from its start.
            if self.stopped.is_set() or has_length or not self._retries:
                break
            self._come_back(reason)
            if self.stopped.is_set():
                break
            begins = max(time.monotonic() - started, self._last_seconds + 1 / self.fps)
        if self._stretch < 0 and not self.stopped.is_set():
            raise VideoUnreadable(self.name, f"not one frame came ({reason}){self._hint}")
        if reason != "it ended":
            tell(f"note: {self.name} broke off ({reason})")

    def _come_back(self, reason: str) -> None:
        """Connect again.

        Raises:
            VideoUnreadable: if it does not come back.
        """
        self.num_losses += 1
        for attempt in range(self._retries):
            wait = min(LONGEST_WAIT_SECONDS, 2.0**attempt)
            tell(f"{self.name}: lost ({reason}); trying again in {wait:g} s")
            if self.stopped.wait(wait):
                return
            try:
                self._container = self._connect()
                return
            except FFMPEG_ERRORS as error:
                reason = _reason(error)
        raise VideoUnreadable(self.name, f"lost ({reason}); tried {self._retries} times again")

    def _connection(self, begins: float) -> Iterator[Frame]:
        """The frames of one connection, the first at `begins`."""
        stream = video_stream(self._container)
        stream.thread_type = "NONE"  # threads hold frames back
        unit, offset = float(stream.time_base or 1), None
        size = None
        for frame in self._decoded(stream):
            if self.stopped.is_set():
                return
            stamp = None if frame.pts is None else frame.pts * unit
            following = self._last_seconds + 1 / self.fps
            if offset is None:
                offset = begins - (stamp or 0.0)
                self._stretch += 1
                seconds = begins
            else:
                seconds = following if stamp is None else stamp + offset
                if seconds <= self._last_seconds or seconds > following + JUMP_SECONDS:
                    # Back in time is a clock set anew; ahead, time that was lost.
                    if abs(seconds - following) > JUMP_SECONDS:
                        self._stretch += 1
                    seconds = max(seconds, following)
                    offset = seconds - (stamp or 0.0)
            self._last_seconds = seconds
            size = size or (frame.width, frame.height)
            yield Frame(seconds, self._pixels_of(frame, size), self._stretch)

    def _decoded(self, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        """What can be decoded; damaged packets are counted, and left out where nothing comes."""
        for packet in self._container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                self.num_damaged += 1
                continue
            self.num_damaged += packet.is_corrupt or any(frame.is_corrupt for frame in frames)
            yield from frames


def open_source(
    place: str, raw: str | None = None, retries: int = 10, pipe: BinaryIO | None = None
) -> Source:
    """The source that words name.

    Args:
        place: a file or a folder of pictures; the number of a camera; an address such as
            `rtsp://...` or `http://...`; `-` is a container, or raw pictures, on stdin.
        raw: `640x480@25`: stdin brings rgb24 pictures of this size and rate.
        retries: attempts to come back to a camera or an address.
        pipe: stands for stdin.

    Raises:
        UsageError: if the words contradict each other.
        VideoError: if it cannot be opened.
    """
    stdin = pipe or sys.stdin.buffer
    if raw is not None:
        if place != "-":
            raise UsageError(f"--raw {raw} describes pictures on stdin: give - instead of {place}")
        return RawSource(stdin, *_raw_format(raw))
    if place == "-":
        hint = (
            "; an MP4 with its index at the end cannot be read from a pipe: give the file, or "
            "ffmpeg -i FILE -c copy -f matroska - | actionrnn live -"
        )
        return StreamSource("stdin", lambda: av.open(stdin, "r"), 0, goes_on=False, hint=hint)
    if place.isdecimal():
        device, driver = _camera(int(place))
        return StreamSource(
            f"camera {place}", lambda: av.open(device, "r", format=driver), retries, goes_on=True
        )
    if "://" in place:
        return StreamSource(shown_address(place), lambda: _opened(place), retries, goes_on=True)
    return FileSource(place)


def _opened(address: str) -> InputContainer:
    options = {"protocol_whitelist": _PROTOCOLS}
    if address.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"  # lost packets of UDP are grey pictures
    return av.open(
        address, options=options, timeout=(STALL_SECONDS, STALL_SECONDS), metadata_errors="replace"
    )


def shown_address(address: str) -> str:
    """An address without user and password."""
    return re.sub(r"//[^/@]*@", "//", address)


def _camera(number: int) -> tuple[str, str]:
    """Device and FFmpeg driver of a camera.

    Raises:
        UsageError: on a system whose cameras have no numbers.
        VideoUnreadable: if there is none of this number.
    """
    if sys.platform.startswith("linux"):
        device = f"/dev/video{number}"
        if not os.path.exists(device):
            others = ", ".join(sorted(glob.glob("/dev/video*")))
            there = f"here are {others}" if others else "no camera is connected, or none allowed"
            raise VideoUnreadable(f"camera {number}", f"there is no {device}; {there}")
        return device, "v4l2"
    if sys.platform == "darwin":
        return str(number), "avfoundation"
    raise UsageError(
        f"camera {number}: cameras have numbers on Linux and macOS only; here let ffmpeg read it: "
        f"ffmpeg -f dshow -i video=NAME -f mpegts - | actionrnn live - --ckpt_path ..."
    )


def _raw_format(raw: str) -> tuple[int, int, float]:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)@(\d+(?:\.\d+)?)", raw)
    if found is None or not float(found[3]):
        raise UsageError(f"--raw {raw!r}: wanted WIDTHxHEIGHT@FPS, such as 640x480@25")
    return int(found[1]), int(found[2]), float(found[3])


def _reason(error: BaseException) -> str:
    """What FFmpeg says, without the address, which may hold a password."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or shown_address(str(error)))
