"""What native code writes to stderr: the only place where decord says that a frame is damaged."""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

# "[h264 @ 0x55a5198092c0] error while decoding MB 2 3": a decoder of FFmpeg speaks.
_DECODER = re.compile(rb"\[\w+ @ 0x[0-9a-f]+\] (.*)")
_DECORD = re.compile(rb"\[\d\d:\d\d:\d\d\] \S+\.cc:\d+: ")  # repeated in its exception
_LOCK = threading.Lock()


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what decoders print meanwhile; the list is filled when the block ends.

    What anything else prints appears on stderr afterwards. One thread at a time: file descriptor
    2 belongs to the process, and a complaint must not be blamed on another's video.
    """
    heard: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as file:
        true_stderr = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield heard
        finally:
            os.dup2(true_stderr, 2)
            os.close(true_stderr)
            file.seek(0)
            for line in file:
                spoken = _DECODER.match(line)
                if spoken:
                    heard.append(spoken[1].decode(errors="replace").strip())
                elif not _DECORD.match(line):
                    os.write(2, line)
