"""What a process of this project sets for itself before PyTorch loads."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import cast

from actionrnn.memory import keep_freed_memory


def prepare_process() -> None:
    """Set how threads wait, how products are summed, how memory is kept, and that none reports.

    The command line does this first of all; a program of your own that extracts features or
    trains on a CPU does well to call it before it imports torch. Environment variables that are
    set already are left as they are.
    """
    # Read by OpenMP when PyTorch loads. Threads that spin while they wait make a training step
    # 20 times slower as soon as another process wants a core (measured: 518 ms against 22 ms).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Read by MKL at its first product. Without it the bits of a row of a small one depend on its
    # place in the batch on AMD processors; it costs nothing that could be measured.
    os.environ.setdefault("MKL_CBWR", "AUTO")
    # Where libraries have had threads of their own, later threads may take over the arenas of
    # those, which give large blocks back (measured: extraction 13 % slower).
    keep_freed_memory()
    silence_reports()


# Optional libraries report to their makers unless these say no.
NO_REPORTS = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def silence_reports() -> None:
    """Keep optional libraries that are imported from now on from reporting to their makers.

    OpenVINO's would also fork this process, with all its threads, at every network that it
    converts: what was forked may wait for a lock for ever, and who reads stdout with it.
    """
    for name, value in NO_REPORTS.items():
        os.environ.setdefault(name, value)
    # None: as if what sends OpenVINO's reports were not installed; it asks no variable.
    cast(dict[str, ModuleType | None], sys.modules).setdefault("openvino_telemetry", None)


def quiet_libraries() -> None:
    """Keep library chatter (tips, device lists) off the screen; warnings about data stay."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|jsonargparse")


GRACE_SECONDS = 8.0
"""After Ctrl-C: how long what is being done may take to end in order."""


@contextmanager
def listening(number: int, handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Within the block a signal goes to the handler, after it to whom it went before.

    Only the main thread may listen; in another the signal goes on as it did.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def interruptible(ends_process: bool) -> Iterator[None]:
    """Ctrl-C ends the block within seconds, whatever a library is waiting for.

    It raises KeyboardInterrupt as ever; where that does not end the process in `GRACE_SECONDS`
    (a decoder that hangs, threads that are waited for), it ends at once with exit code 130. Files
    are published whole, so nothing is damaged by that.

    Args:
        ends_process: the process ends after the block, and must not hang there either.
    """
    watchdog = threading.Timer(GRACE_SECONDS, _end_now)
    watchdog.daemon = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        if watchdog.ident is None:
            watchdog.start()
        raise KeyboardInterrupt

    try:
        with listening(signal.SIGINT, interrupt):
            yield
    finally:
        if not ends_process:
            watchdog.cancel()


def _end_now() -> None:
    print("actionrnn: interrupted; what still ran was ended", file=sys.stderr, flush=True)
    os._exit(130)
