"""A decoder that hangs or crashes costs one clip and a bounded time, never the run."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from actionrnn.video import isolate
from actionrnn.video.decode import ClipRequest, read_clip
from actionrnn.video.errors import VideoError, VideoNotFound, VideoUnreadable
from actionrnn.video.isolate import (
    DECODING,
    DecoderDied,
    DecoderHung,
    DecodeWorker,
    _answer,
    send,
    started_ahead,
)
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

sys.path.insert(0, str(Path(__file__).parent))
from misbehaving import Crash, Exit, Hang, Surprise

HERE = str(Path(__file__).parent)
SMALL = (Sampling(num_frames=4), Transform(size=32))
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture(scope="module", autouse=True)
def real_decoders(decoders_here: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with decoders_here():
        yield


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    with pytest.MonkeyPatch.context() as patch, DecodeWorker(timeout_seconds=60) as worker:
        patch.setenv("PYTHONPATH", HERE)
        yield worker


def test_a_worker_reads_the_very_same_frames(worker: DecodeWorker, videos: dict[str, Path]) -> None:
    for name in ("mpeg4_b_frames.avi", "odd_size.mp4"):
        there = worker.ask(ClipRequest(str(videos[name]), *SMALL))
        here = read_clip(videos[name], *SMALL)
        assert there.frames.equal(here.frames)
        assert (there.indices, there.reader) == (here.indices, here.reader)
        assert (there.timestamps_seconds, there.warnings) == (
            here.timestamps_seconds,
            here.warnings,
        )


def test_errors_come_back_as_they_were_raised(worker: DecodeWorker, tmp_path: Path) -> None:
    with pytest.raises(VideoNotFound, match="no such file") as caught:
        worker.ask(ClipRequest(str(tmp_path / "gone.mp4"), *SMALL))
    assert caught.value.path == str(tmp_path / "gone.mp4")
    with pytest.raises(ValueError, match="reader 'nonsense' is not available"):
        worker.ask(ClipRequest("x.mp4", *SMALL, reader="nonsense"))
    with pytest.raises(DecoderDied, match="failed with MemoryError: a picture of 60000x60000"):
        worker.ask(Surprise())


def test_a_hang_is_stopped_in_time(worker: DecodeWorker, videos: dict[str, Path]) -> None:
    good = ClipRequest(str(videos["h264_closed_gop.mp4"]), *SMALL)
    worker.ask(good)  # the process runs: what is measured is the hang
    started = time.monotonic()
    worker.timeout_seconds = 0.5
    with pytest.raises(DecoderHung, match=r"'hang.mp4': decoding did not end within 0\.5 s"):
        worker.ask(Hang())
    assert time.monotonic() - started < 10
    worker.timeout_seconds = 60
    assert worker.ask(good).indices == [[7, 22, 37, 52]]


def test_a_crash_costs_one_clip(worker: DecodeWorker, videos: dict[str, Path]) -> None:
    with pytest.raises(DecoderDied, match=r"crash\.mp4.*crashed its process \(SIGSEGV\)"):
        worker.ask(Crash())
    good = ClipRequest(str(videos["h264_closed_gop.mp4"]), *SMALL)
    assert worker.ask(good).frames.shape == (1, 4, 3, 32, 32)


@pytest.mark.slow
def test_last_words_are_told(worker: DecodeWorker) -> None:
    with pytest.raises(DecoderDied, match=r"exit code 7: libavcodec\.so: cannot open"):
        worker.ask(Exit())


@pytest.mark.slow
def test_a_hanging_orphan_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)
    command = [sys.executable, "-m", "actionrnn.video.isolate"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        send(process.stdin, (0.5, Hang()))
        assert process.wait(timeout=60) == 1


def test_closing_twice_and_reusing_are_fine(videos: dict[str, Path]) -> None:
    worker = DecodeWorker()
    worker.close()
    worker.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError("no room"), DecoderDied),
        (OSError(errno.EMFILE, "too many open files"), DecoderDied),
        (IndexError("a fault of ours"), VideoUnreadable),
        (OSError(errno.EIO, "as damaged files give it"), VideoUnreadable),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_want_of_memory_or_of_files_is_not_the_videos_fault(
    error: Exception, kind: type[VideoError], wrapped: bool
) -> None:
    class Request:
        path = "clip.mp4"

        def answer(self) -> None:
            if not wrapped:
                raise error
            raise VideoUnreadable(self.path, "the decoder failed") from error

    assert type(_answer(Request())) is kind


def test_a_process_started_ahead_is_the_first_workers() -> None:
    with started_ahead(DECODING):
        first, second = DecodeWorker(), DecodeWorker()
        with first, second:
            (ahead,) = isolate._AHEAD
            expected = ahead._running()
            first.start()
            second.start()
            assert first._running() is expected is not second._running()
    assert expected.poll() is not None


def test_a_process_started_ahead_for_nobody_is_ended() -> None:
    with started_ahead(DECODING):
        (ahead,) = isolate._AHEAD
        process = ahead._running()
    assert process.poll() is not None
    assert not isolate._AHEAD
