"""Decoding in a process of its own: a decoder that hangs or dies costs one clip, never the run.

The process is started as a plain command, so nothing of the caller's state (threads, CUDA, an
unguarded `__main__`) is copied or run again. Requests and answers are pickles, whose tensors travel
beside them as they are.
"""

import errno
import faulthandler
import importlib
import io
import mmap
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Protocol, Self, TypeVar, cast

from actionrnn.errors import ActionRNNError
from actionrnn.memory import keep_freed_memory
from actionrnn.video.errors import VideoError, VideoNotFound, VideoUnreadable
from actionrnn.video.reader import Closes
from actionrnn.video.room import room

Answer = TypeVar("Answer", covariant=True)
# What decoding a clip needs, by name: whoever starts it ahead has not loaded it yet.
DECODING = ("actionrnn.video.decode", "actionrnn.video.pyav")
# A process whose parent was killed while the decoder hung ends itself so long after its time.
ORPHAN_SECONDS = 10.0


class DecoderHung(VideoError):
    """Decoding did not end in time and was killed."""


class DecoderDied(VideoError):
    """The decoder's process crashed, was killed, or had no memory: the file may well be good."""


class Request(Protocol[Answer]):
    """Plain data that is sent to the other process and answered there."""

    path: str

    def answer(self) -> Answer:
        """The work; what it raises is raised at the caller's."""


@dataclass(frozen=True)
class _Decoder:
    """A running process, and what it writes to stderr."""

    process: "subprocess.Popen[bytes]"
    last_words: IO[bytes]

    @classmethod
    def started(cls, loads: Sequence[str]) -> Self:
        last_words = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        process = subprocess.Popen(
            [sys.executable, "-m", "actionrnn.video.isolate", *loads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=last_words,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            # Ctrl-C reaches the parent alone, which then closes its workers in order.
            start_new_session=True,
        )
        return cls(process, last_words)


class DecodeWorker(Closes):
    """One decoding process, started when first needed and again after it had to be killed.

    Use one per thread: a request holds the process until it is answered. Any number of requests
    may follow one another; starting the process costs about two seconds, once.

        with DecodeWorker(timeout_seconds=60) as worker:
            clips = [worker.ask(ClipRequest(path, sampling, transform)) for path in paths]

    Args:
        timeout_seconds: longest time for one clip.
        loads: modules that the process imports before its first request, which then need not
            wait for it.
    """

    def __init__(self, timeout_seconds: float = 120.0, loads: Sequence[str] = ()) -> None:
        self.timeout_seconds = timeout_seconds
        self._loads = loads
        self._decoder: _Decoder | None = None

    def start(self) -> None:
        """Start the process ahead of the first request, which then need not wait for it."""
        self._running()

    def ask(self, request: Request[Answer]) -> Answer:
        """The answer to one request.

        Raises:
            VideoError: what the request raised there, or that it hung or died.
        """
        try:
            process = self._running()
        except OSError as error:
            reason = f"no decoding process could be started ({error.strerror})"
            raise DecoderDied(request.path, reason) from error
        assert process.stdin is not None
        assert process.stdout is not None
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            process.kill()

        watchdog = threading.Timer(self.timeout_seconds, kill)
        watchdog.start()
        try:
            send(process.stdin, (self.timeout_seconds + ORPHAN_SECONDS, request))
            answer = receive(process.stdout)
        except (EOFError, OSError):
            cause = self._cause_of_death(process.wait())
            self.close()
            if killed.is_set():
                reason = f"decoding did not end within {self.timeout_seconds:g} s and was stopped"
                raise DecoderHung(request.path, reason) from None
            reason = f"the decoder crashed its process ({cause})"
            raise DecoderDied(request.path, reason) from None
        finally:
            watchdog.cancel()
        if isinstance(answer, BaseException):
            if isinstance(answer, DecoderDied):
                self.close()  # what ate the memory may still hold it
            raise answer
        return cast(Answer, answer)

    def _cause_of_death(self, code: int) -> str:
        if code < 0:
            return signal.Signals(-code).name if -code in _SIGNALS else f"signal {-code}"
        assert self._decoder is not None
        self._decoder.last_words.seek(0)
        lines = self._decoder.last_words.read().decode(errors="replace").strip().splitlines()
        return f"exit code {code}: {lines[-1][:200]}" if lines else f"exit code {code}"

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._decoder is None or self._decoder.process.poll() is not None:
            self.close()
            ahead = _AHEAD.pop()._handed_over() if _AHEAD else None
            self._decoder = ahead or _Decoder.started(self._loads)
        return self._decoder.process

    def _handed_over(self) -> _Decoder | None:
        decoder, self._decoder = self._decoder, None
        return decoder

    def close(self) -> None:
        """Stop the process, whatever it is doing."""
        decoder = self._handed_over()
        if decoder is not None:
            decoder.process.kill()
            decoder.process.communicate()
            decoder.last_words.close()


_AHEAD: list[DecodeWorker] = []


@contextmanager
def started_ahead(loads: Sequence[str]) -> Iterator[None]:
    """Within the block the first worker finds its process started, which loads as this one does.

    Args:
        loads: see `DecodeWorker`.
    """
    with DecodeWorker(loads=loads) as worker:
        worker.start()
        _AHEAD.append(worker)
        try:
            yield
        finally:
            _AHEAD.clear()


class _Pickler(pickle.Pickler):
    """Tensors as NumPy arrays, whose bytes protocol 5 leaves where they are."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")  # a process without it has no tensors
        if torch is None or type(value) is not torch.Tensor:
            return NotImplemented
        return torch.from_numpy, (value.numpy(),)


def send(pipe: IO[bytes], message: object) -> None:
    """Write one message: sizes, pickle, buffers."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=5, buffer_callback=buffers.append).dump(message)
    parts = [pickled.getbuffer(), *(buffer.raw() for buffer in buffers)]
    pipe.write(struct.pack(f"<{len(parts) + 1}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: if the other side is gone.
    """
    (count,) = struct.unpack("<Q", _exactly(pipe, 8))
    sizes = struct.unpack(f"<{count}Q", _exactly(pipe, 8 * count))
    pickled, *buffers = [_exactly(pipe, size) for size in sizes]
    return pickle.loads(pickled, buffers=buffers)


def _exactly(pipe: IO[bytes], count: int) -> bytearray | mmap.mmap:
    content = room(count)
    if cast(io.BufferedReader, pipe).readinto(content) < count:
        raise EOFError
    return content


def serve(*loads: str) -> None:
    """Answer requests on stdin until it closes; stray prints of decoders go to stderr."""
    keep_freed_memory()
    for module in loads:
        importlib.import_module(module)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            seconds, request = receive(requests)
        except EOFError:
            return
        faulthandler.dump_traceback_later(seconds, exit=True)
        answer = _answer(request)
        faulthandler.cancel_dump_traceback_later()
        send(answers, answer)


def _answer(request: Request[Any]) -> Any:
    """What the request gives or raises; a surprise is the file's fault, unless memory was short."""
    try:
        return request.answer()
    except Exception as error:
        if isinstance(error, VideoError):
            reason = error.reason
        else:
            reason = f"reading failed with {type(error).__name__}: {error}"
        if _is_shortage(error):
            return DecoderDied(request.path, f"memory or open files may have run out ({reason})")
        if isinstance(error, ActionRNNError | ValueError):
            return error
        return VideoUnreadable(request.path, reason)


def _is_shortage(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, may come of a want of memory or of open files.

    Where the system limits a process's memory, a library may report the want of it in any words.
    """
    if _memory_is_limited() and not isinstance(error, VideoNotFound | ValueError):
        return True
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, MemoryError) or number in _SHORTAGES:
            return True
        error = error.__cause__ or error.__context__
    return False


def _memory_is_limited() -> bool:
    if sys.platform == "win32":
        return False
    import resource

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(each)[0] != resource.RLIM_INFINITY for each in limits)


_SHORTAGES = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_SIGNALS = {int(each) for each in signal.Signals}


if __name__ == "__main__":
    # Imported under its real name, so that what is unpickled here is what was pickled there.
    from actionrnn.video.isolate import serve as serve_here

    serve_here(*sys.argv[1:])
