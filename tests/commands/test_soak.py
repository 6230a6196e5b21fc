"""An hour of stream through `actionrnn live`, at full speed, with everything that goes wrong."""

import contextlib
import http.server
import io
import json
import resource
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from actionrnn.cli import main
from actionrnn.commands import live
from actionrnn.video import streams
from actionrnn.video.sources import Source
from actionrnn.video.writer import write_video

FPS, MINUTES, PARTS, SIDE = 2, 60, 3, 32
# Seconds of each minute in which the picture is bright.
EVENTS = ((20, 26), (45, 49))
NETWORK = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2))
"""


def picture(rng: np.random.Generator, bright: bool) -> np.ndarray:
    noise = rng.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
    return noise + np.uint8(190 if bright else 20)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head that tells bright from dark, frame by frame, over a network of one layer."""
    folder = tmp_path_factory.mktemp("soak")
    (folder / "soak_network.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    for number in range(12):
        bright = number % 2 == 0
        path = folder / "clips" / ("bright" if bright else "rest") / f"{number}" / "clip.mp4"
        write_video(path, [picture(rng, bright) for _ in range(8)], FPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        words = ["--source", str(folder / "clips"), "--root", str(folder / "data")]
        assert main(["prepare", "folder", *words]) == 0
        settings = [
            "--features.backbone.name=soak_network:build", "--features.backbone.weights=random",
            "--features.sampling.mode=fps", f"--features.sampling.fps={FPS}",
            "--features.sampling.num_frames=8", f"--features.transform.size={SIDE}",
            "--features.transform.resize=squash", "--model.head=single_frame",
            "--model.learning_rate=0.1", "--trainer.max_epochs=15", "--trainer.logger=false",
        ]  # fmt: skip
        words = [f"--data.root={folder / 'data'}", f"--run.folder={folder / 'run'}", *settings]
        assert main(["fit", *words]) == 0
        yield str(folder / "run" / "checkpoints" / "last.ckpt")  # the first of equals is best


def encoded() -> dict[bool, list[bytes]]:
    """Pictures as H.264, each by itself: some dark ones and some bright ones."""
    rng = np.random.default_rng(1)
    codec = av.CodecContext.create("libx264", "w")
    codec.width = codec.height = SIDE
    codec.pix_fmt, codec.time_base = "yuv420p", Fraction(1, FPS)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "1", "qp": "30"}
    found: dict[bool, list[bytes]] = {False: [], True: []}
    for number in range(40):
        frame = av.VideoFrame.from_ndarray(picture(rng, number % 2 == 1), format="rgb24")
        frame.pts = number
        found[number % 2 == 1] += [bytes(packet) for packet in codec.encode(frame)]
    return found


def transport() -> list[list[bytes]]:
    """Every minute of every part as bytes; each part is a stream with a clock of its own."""
    pictures = encoded()
    happens = [any(a <= n / FPS < b for a, b in EVENTS) for n in range(60 * FPS)]
    parts = []
    for part in range(PARTS):
        content = io.BytesIO()
        cuts = [0]
        with av.open(content, "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width = stream.height = SIDE
            stream.pix_fmt = "yuv420p"
            for number in range(MINUTES // PARTS * len(happens)):
                bright = happens[number % len(happens)]
                packet = av.Packet(pictures[bright][number % len(pictures[bright])])
                packet.stream, packet.time_base = stream, Fraction(1, 90_000)
                packet.pts = packet.dts = 1_000_000 * part + number * 90_000 // FPS
                packet.is_keyframe = True
                container.mux(packet)
                if (number + 1) % len(happens) == 0:
                    cuts.append(content.tell())
        whole = content.getvalue()
        cuts[-1] = len(whole)
        parts.append([whole[a:b] for a, b in pairwise(cuts)])
    return parts


def damaged(minute: bytes) -> bytes:
    """The same with a packet of the transport in ten spoilt, in its quiet first quarter."""
    content = np.frombuffer(minute, np.uint8).copy()
    rng = np.random.default_rng(2)
    quarter = len(content) // 188 // 4
    for packet in rng.choice(np.arange(8, quarter), quarter // 10, replace=False):
        start = 188 * int(packet) + int(rng.choice([0, 5, 20, 60]))
        content[start : start + 40] = rng.integers(0, 256, len(content[start : start + 40]))
    return content.tobytes()


@pytest.fixture
def camera() -> Iterator[tuple[str, list[int]]]:
    """Breaks off after the first part, falls silent after the second, and is gone at the end."""
    parts = transport()
    for minute in (5, 6, 30):
        part, place = divmod(minute, MINUTES // PARTS)
        parts[part][place] = damaged(parts[part][place])
    asked: list[int] = []
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(len(asked))
            if len(asked) > PARTS:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            with contextlib.suppress(OSError):
                for minute in parts[len(asked) - 1]:
                    self.wfile.write(minute)
                if len(asked) == 2:
                    over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/live.ts", asked
    over.set()
    server.shutdown()
    server.server_close()


class Memory:
    """Megabytes of this process, looked at ten times a second."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.megabytes.append(pages * resource.getpagesize() / 2**20)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_an_hour_of_stream_loses_no_event_and_gathers_no_memory(
    ckpt: str, camera: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    address, asked = camera
    monkeypatch.setattr(streams, "STALL_SECONDS", 2.0)
    monkeypatch.setattr(streams, "LONGEST_WAIT_SECONDS", 0.05)
    opened = live.open_source

    def open_source(place: str, raw: str | None, retries: int) -> Source:
        source = opened(place, raw, retries)
        source.goes_on = False  # faster than any camera: it waits, and nothing is dropped
        return source

    monkeypatch.setattr(live, "open_source", open_source)
    memory, started = Memory(), time.monotonic()
    words = ["live", address, "--ckpt_path", ckpt, "--background", "rest", "--retries", "3"]
    words += ["--features.backbone.name", "soak_network:build", "--device", "cpu"]
    code = main([*words, "--preview", "0", "--min_seconds", "1.5"])
    memory.stop()
    captured = capsys.readouterr()
    assert code == 1, "the camera is gone for good"
    assert "tried 3 times again" in captured.err
    assert len(asked) == PARTS + 3
    assert "connection lost 3 times" in captured.err
    assert " 0 dropped" in captured.err
    events = [json.loads(line) for line in captured.out.splitlines()]
    begun, ended = ([e for e in events if e["event"] == kind] for kind in ("begin", "end"))
    assert [each["start"] for each in begun] == [each["start"] for each in ended]
    expected = [(60 * m + a, 60 * m + b) for m in range(MINUTES) for a, b in EVENTS]
    assert len(ended) == len(expected), "none is lost, and none is made up"
    # What a loss swallowed of a stream that is faster than its clock is not known: a frame each.
    slack = 1 / FPS + 1e-3
    for event, (start, end) in zip(ended, expected, strict=True):
        assert event["start"] == pytest.approx(start, abs=slack)
        assert event["end"] == pytest.approx(end, abs=slack)
        assert event["end"] - event["start"] == pytest.approx(end - start, abs=1e-3)
    settled = memory.megabytes[len(memory.megabytes) // 4 :]
    growth = np.mean(settled[-5:]) - np.mean(settled[:5])
    assert growth < 16, f"{growth:.1f} MiB in {time.monotonic() - started:.0f} s"
