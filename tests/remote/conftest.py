"""A real S3 server on this machine, which can be told to fail; and a cache of the test's own."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actionrnn import cache, places

BUCKET = "bucket"
XML = (
    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
    "<Message>{message}</Message></Error>"
)
REFUSALS = {
    "slow down": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "internal": ("500 Internal Server Error", "InternalError", "We encountered an internal error."),
    "unavailable": ("503 Service Unavailable", "ServiceUnavailable", "Service is unavailable."),
    "expired": ("400 Bad Request", "ExpiredToken", "The provided token has expired."),
    "denied": ("403 Forbidden", "AccessDenied", "Access Denied"),
}


class Server:
    """An S3 server behind a gate that answers with faults instead.

    Attributes:
        requests: `METHOD path?query`, in order.
        fault: names what goes wrong with a request, or none: a key of REFUSALS, `cut`, `garbled`.
    """

    def __init__(self, application: Any) -> None:
        self.application = application
        self.requests: list[str] = []
        self.fault: Callable[[str], str | None] = lambda _: None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{'?' * bool(query)}{query}"
        self.requests.append(request)
        fault = self.fault(request)
        if fault in REFUSALS:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code, message = REFUSALS[fault]
            body = XML.format(code=code, message=message).encode()
            start_response(status, [("Content-Type", "application/xml")])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        if fault is None:
            return self.application(environ, start_response)
        body = bytearray(b"".join(self.application(environ, start_response)))
        if fault == "garbled":
            body[len(body) // 2] ^= 255
            return [bytes(body)]
        return self._cut(bytes(body))

    def _cut(self, body: bytes) -> Iterator[bytes]:
        """Half of it under the length of the whole; then the connection breaks."""
        yield body[: len(body) // 2]
        raise ConnectionResetError

    def times(self, part: str, fault: str, count: int = 1) -> None:
        """Let the first `count` requests that hold `part` go wrong."""
        left = [count]

        def plan(request: str) -> str | None:
            if part not in request or not left[0]:
                return None
            left[0] -= 1
            return fault

        self.fault = plan


@pytest.fixture(scope="module")
def gate() -> Iterator[tuple[Server, str]]:
    """The server and its address; one for the tests of a file."""
    pytest.importorskip("s3fs")
    werkzeug_app = pytest.importorskip("moto.moto_server.werkzeug_app")
    serving = pytest.importorskip("werkzeug.serving")

    class Quiet(serving.WSGIRequestHandler):
        def log(self, *_: object) -> None:
            pass

    application = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
    server = Server(application)
    http = serving.make_server("127.0.0.1", 0, server, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield server, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()


@pytest.fixture
def s3(gate: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server with an empty bucket, found by the environment as users would name theirs."""
    import s3fs

    server, endpoint = gate
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",  # the patience that is tested is our own
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    server.fault = lambda _: None
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    places._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    if files.exists(BUCKET):
        files.rm(BUCKET, recursive=True)
    files.mkdir(BUCKET)
    server.requests.clear()
    yield server
    server.fault = lambda _: None
    places._file_system.cache_clear()


@pytest.fixture
def memory() -> Iterator[str]:
    """An empty `memory://` folder."""
    import fsspec

    files = fsspec.filesystem("memory")
    yield "memory://data"
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and little waiting."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(folder))
    monkeypatch.setattr(places, "FIRST_WAIT_SECONDS", 0.001)
    return folder
