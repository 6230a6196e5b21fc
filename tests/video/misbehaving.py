"""Requests that behave as the worst decoders do. Imported by the worker process as well."""

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from actionrnn.video.verify import Verified


@dataclass
class Hang:
    """Never ends, in native code that holds the interpreter's lock: no signal handler runs."""

    path: str = "hang.mp4"

    def answer(self) -> None:
        ctypes.PyDLL(None).sleep(1000)


@dataclass
class Crash:
    """Takes the process down."""

    path: str = "crash.mp4"

    def answer(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


@dataclass
class Surprise:
    """Raises what nobody expects of a decoder."""

    path: str = "surprise.mp4"

    def answer(self) -> None:
        raise MemoryError("a picture of 60000x60000")


@dataclass
class Exit:
    """Dies with words on stderr, as a broken installation does."""

    path: str = "exit.mp4"

    def answer(self) -> None:
        os.write(2, b"libavcodec.so: cannot open\n")
        os._exit(7)


@dataclass
class CrashOnce:
    """Takes its first process down; the second finds the file beside it."""

    path: str

    def answer(self) -> Verified:
        tried = Path(self.path + ".tried")
        if tried.exists():
            return Verified(self.path, "ok", 1, 1, "")
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody comes here")
