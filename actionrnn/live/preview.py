"""What is watched, in a browser of this machine: the latest picture, and only that (MJPEG)."""

import threading
from collections.abc import Sequence
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from actionrnn.errors import UsageError
from actionrnn.live.events import Event
from actionrnn.live.overlay import Caption, enlarged, jpeg, with_lines
from actionrnn.live.watch import Scored
from actionrnn.video.sources import Frame

HOST = "127.0.0.1"
# A browser that takes nothing for so long is let go.
_PATIENCE_SECONDS = 10.0
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>
body {{ margin: 0 auto; padding: 16px; max-width: 1280px; overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, sans-serif }}
img {{ width: 100%; max-height: 85vh; object-fit: contain }}
</style></head>
<body><img src="stream" alt="the latest picture"><p>{title}</p></body></html>"""


class Preview:
    """A page with the latest picture, on this machine alone; it never holds the stream up.

    Frames are drawn in the threads of those who look, each as fast as it can show them.

    Args:
        port: of the address; 0 is any that is free.
        title: what is watched.
        class_names: in the order of the scores.

    Raises:
        UsageError: if the port is taken.
    """

    def __init__(self, port: int, title: str, class_names: Sequence[str]) -> None:
        self._caption = Caption(class_names)
        self._latest: Frame | None = None
        self._number = 0
        self._changed = threading.Condition()
        self._closed = False
        try:
            self._server = _Server(self, title, port)
        except (OSError, OverflowError) as error:
            raise UsageError(f"--preview {port}: {error}; 0 takes any port that is free") from error
        self.address = f"http://{HOST}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, name="preview", daemon=True).start()

    def see(self, frame: Frame) -> None:
        """The latest frame."""
        with self._changed:
            self._latest = frame
            self._number += 1
            self._changed.notify_all()

    def judge(self, scored: Scored, events: Sequence[Event]) -> None:
        """The latest scores, and what began or ended with them."""
        self._caption.judge(scored, events)

    def after(self, number: int) -> tuple[int, bytes] | None:
        """A later picture than this one, as JPEG, and its number; None when there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._number > number)
            if self._closed or self._latest is None:
                return None
            number, frame = self._number, self._latest
        drawn = with_lines(enlarged(frame.pixels), self._caption.lines)
        return number, jpeg(drawn, quality=80)

    def close(self) -> None:
        """No more pictures."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, preview: Preview, title: str, port: int) -> None:
        self.preview, self.page = preview, _PAGE.format(title=escape(title)).encode()
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who left, left: no traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_SECONDS

    def do_GET(self) -> None:
        """The page, or the pictures."""
        # A page from elsewhere must not read the pictures under a name that it points here.
        if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):
            self.send_error(403, "this is for this machine alone")
        elif self.path == "/":
            self._begin("text/html; charset=utf-8")
            self.wfile.write(self.server.page)
        elif self.path == "/stream":
            self._begin("multipart/x-mixed-replace; boundary=picture")
            self._pictures()
        else:
            self.send_error(404)

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def _pictures(self) -> None:
        number = 0
        while (found := self.server.preview.after(number)) is not None:
            number, jpeg = found
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """The terminal is for what is watched."""
