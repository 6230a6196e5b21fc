"""Downloads against a local server that breaks off, changes its mind and serves the wrong file."""

import contextlib
import hashlib
import http.client
import io
import json
import shutil
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.datasets import PREPARERS
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official import kth, ssv2, ucf101
from actionrnn.datasets.source import download as downloads
from actionrnn.datasets.source.download import DownloadError, RemoteFile, _NoDowngrade, download
from actionrnn.datasets.source.locate import SourceNeeded, open_source

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any name, as its attributes say."""

    content = CONTENT
    etag = '"v1"'
    breaks: list[int]  # bytes sent before the connection is cut, one for each request
    ranges = True
    requests: list[str]
    files: dict[str, bytes]  # what is served under names of their own
    announced: str | None = None  # Content-Length instead of the true one; "" sends none
    drip_seconds = 0.0  # between two bytes
    ignores_if_range = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append(wanted or "all")
        if self.path == "/gone":
            self.send_error(404)
            return
        content = server.files.get(self.path.lstrip("/"), server.content)
        start = 0
        same = server.ignores_if_range or self.headers.get("If-Range") == server.etag
        if wanted and server.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        size = len(content)
        if start >= size:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        length = str(size - start) if server.announced is None else server.announced
        if length:
            self.send_header("Content-Length", length)
        self.send_header("ETag", server.etag)
        self.end_headers()
        body = content[start:]
        if server.drip_seconds:
            with contextlib.suppress(OSError):  # the other side has had enough
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(server.drip_seconds)
            return
        self.wfile.write(body[: server.breaks.pop(0)] if server.breaks else body)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.breaks, server.files = [], [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(remote: RemoteFile, folder: Path, attempts: int = 3) -> Path:
    return download(remote, folder, attempts=attempts, pause_seconds=0, timeout_seconds=5)


def test_a_file_comes_whole_and_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    remote = RemoteFile(server.url, len(CONTENT), SHA256)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.bin", "data.bin.sha256"]
    fetch(remote, tmp_path)
    assert server.requests == ["all"]


def test_a_broken_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = [300_000] * 3
    assert fetch(RemoteFile(server.url, sha256=SHA256), tmp_path).read_bytes() == CONTENT
    assert server.requests == ["all", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_later_run_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks = [300_000, 0, 0, 0]
    remote = RemoteFile(server.url, sha256=SHA256)
    with pytest.raises(DownloadError, match=r"300000 bytes are kept in .*data.bin.part, run the"):
        fetch(remote, tmp_path)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=300000-"


def test_a_file_that_changed_in_between_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"old" * 1000)
    origin = {"url": server.url, "validator": '"v0"'}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(origin))
    assert fetch(RemoteFile(server.url, sha256=SHA256), tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.breaks = [300_000]
    assert fetch(RemoteFile(server.url, sha256=SHA256), tmp_path).read_bytes() == CONTENT


def test_the_wrong_content_is_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"its SHA-256 is .* expected is 000"):
        fetch(RemoteFile(server.url, sha256="000"), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".json"]
    with pytest.raises(DownloadError, match="the server offers 1048576 bytes, published are 7"):
        fetch(RemoteFile(server.url, num_bytes=7), tmp_path)


def test_no_more_is_written_than_was_published(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.announced = ""  # the length is known from the publication alone
    with pytest.raises(DownloadError, match="sends more than 1000 bytes; stopped"):
        fetch(RemoteFile(server.url, num_bytes=1000), tmp_path)
    assert (tmp_path / "data.bin.part").stat().st_size <= 1000
    assert fetch(RemoteFile(server.url, len(CONTENT), SHA256), tmp_path).read_bytes() == CONTENT
    monkeypatch.setattr(downloads, "_MOST_UNANNOUNCED_BYTES", 5000)
    with pytest.raises(DownloadError, match="sends more than 4 GiB without saying how much"):
        fetch(RemoteFile(server.url.replace("data", "other")), tmp_path)
    assert (tmp_path / "other.bin.part").stat().st_size <= 5000


def test_a_server_that_drips_is_given_up(server: Server, tmp_path: Path) -> None:
    server.drip_seconds = 0.01
    with pytest.raises(DownloadError, match=r"gave up after 2 attempts .*only \d+ bytes came in"):
        download(RemoteFile(server.url), tmp_path, attempts=2, pause_seconds=0, timeout_seconds=0.1)
    assert len(server.requests) == 2


def test_a_server_that_breaks_off_at_every_byte_is_given_up(server: Server, tmp_path: Path) -> None:
    server.breaks = [1] * 100
    with pytest.raises(DownloadError, match="gave up after 3 attempts without progress"):
        fetch(RemoteFile(server.url), tmp_path)
    assert len(server.requests) == 3


def test_somebody_elses_part_is_neither_taken_nor_overwritten(
    server: Server, tmp_path: Path
) -> None:
    part, other = tmp_path / "data.bin.part", tmp_path / "diary.txt"
    other.write_text("mine")
    for make in (
        lambda: part.write_bytes(b"half of another file"),
        lambda: part.symlink_to(other),
        lambda: part.symlink_to(tmp_path / "not there"),
        part.mkdir,
    ):
        make()
        with pytest.raises(DownloadError, match=r"data.bin.part .*; move it away to fetch"):
            fetch(RemoteFile(server.url), tmp_path)
        assert other.read_text() == "mine"
        assert not (tmp_path / "not there").exists()
        assert part.is_symlink() or part.is_dir() or part.read_bytes() == b"half of another file"
        part.rmdir() if part.is_dir() else part.unlink()
    assert not server.requests
    for origin in ('{"url": "http://elsewhere/data.bin"}', "[]", "{"):
        part.write_bytes(b"x" * 100)
        (tmp_path / "data.bin.part.json").write_text(origin)
        with pytest.raises(DownloadError, match="was not left by a download of http"):
            fetch(RemoteFile(server.url), tmp_path)


def test_a_part_without_a_mark_of_its_version_starts_again(server: Server, tmp_path: Path) -> None:
    server.ignores_if_range = True  # such a server would send the rest of another version
    (tmp_path / "data.bin.part").write_bytes(b"old" * 1000)
    origin = {"url": server.url, "validator": None}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(origin))
    assert fetch(RemoteFile(server.url), tmp_path).read_bytes() == CONTENT
    assert server.requests == ["all"]


def test_a_file_that_rots_is_noticed(server: Server, tmp_path: Path) -> None:
    remote = RemoteFile(server.url)
    fetch(remote, tmp_path)
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(DownloadError, match="remove it to fetch it again"):
        fetch(remote, tmp_path)


def test_what_the_server_refuses_is_said(server: Server, tmp_path: Path) -> None:
    url = server.url.replace("data.bin", "gone")
    with pytest.raises(DownloadError, match="the server says HTTP Error 404"):
        fetch(RemoteFile(url), tmp_path)
    with pytest.raises(DownloadError, match="only http and https"):
        fetch(RemoteFile("file:///etc/passwd"), tmp_path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_certificates_are_checked(server: Server, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = _self_signed(tmp_path)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(DownloadError, match="certificates are checked"):
        fetch(RemoteFile(server.url.replace("http:", "https:")), tmp_path / "out")


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    subprocess.run(
        [*command, "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_without_a_source_it_says_where_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(SourceNeeded) as told:
        ucf101.prepare(None, tmp_path)
    text = str(told.value)
    for part in ("https://www.crcv.ucf.edu/data/UCF101/UCF101.rar", "licence", "6.5 GB"):
        assert part in text
    assert "actionrnn prepare ucf101 --source PATH" in text
    assert "prepare ucf101 --download" in text
    with pytest.raises(SourceNeeded, match="free for research after registration"):
        ssv2.prepare(None, tmp_path)


def test_a_redirect_never_leaves_https() -> None:
    request = urllib.request.Request("https://example.org/a")
    headers = http.client.HTTPMessage()
    with pytest.raises(DownloadError, match="which is not https; refused"):
        _NoDowngrade().redirect_request(
            request, io.BytesIO(), 302, "Found", headers, "http://example.org/a"
        )


def test_lists_of_addresses_are_fetched_into_their_folders(server: Server, tmp_path: Path) -> None:
    card = replace(kth.CARD, files=(), lists=(RemoteFile(server.url, folder="train"),))
    server.content = b"http://127.0.0.1/part_0.tar.gz\n"
    with pytest.raises(ManifestError, match=r"line 1: .* is no https address; rejected"):
        open_source(replace(card, files=(RemoteFile(server.url),)), None, tmp_path, True)
    assert (tmp_path / "downloads" / "train" / "data.bin").is_file()


def test_download_then_prepare(server: Server, tmp_path: Path) -> None:
    card = replace(kth.CARD, files=(RemoteFile(server.url.replace(".bin", ".mp4")),))
    files = open_source(card, None, tmp_path, download_files=True)
    assert [path.name for path in files.videos()] == ["data.mp4"]
    with pytest.raises(SourceNeeded, match="ssv2 has no public address"):
        open_source(ssv2.CARD, None, tmp_path, download_files=True)


def test_the_verb_fetches_over_a_broken_connection_and_prepares(
    server: Server,
    kth_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.files = {path.name: path.read_bytes() for path in kth_dataset.iterdir()}
    site = server.url.rpartition("/")[0]
    card = replace(kth.CARD, files=tuple(RemoteFile(f"{site}/{name}") for name in server.files))
    monkeypatch.setattr(kth, "CARD", card)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.breaks = [1000, 0, 2000, 10]
    words = ["prepare", "kth", "--download", "--root", str(tmp_path / "kth")]
    assert main(words) == 0
    assert [wanted for wanted in server.requests if wanted != "all"], "taken up where it broke"
    table = Manifest.load(tmp_path / "kth").table
    assert len(table) == 57
    server.requests.clear()
    capsys.readouterr()
    assert main(words) == 0
    assert not server.requests, "nothing is fetched twice"
    assert "is there already and verified" in capsys.readouterr().err
    server.shutdown()
    (tmp_path / "kth" / "downloads" / "boxing.zip").unlink()
    server.server_close()
    assert main(words) == 1
    assert "gave up after 5 attempts without progress" in capsys.readouterr().err


def test_the_verb_says_where_to_ask_if_there_is_no_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ssv2", "jester"):
        assert main(["prepare", name, "--download", "--root", str(tmp_path)]) == 1
        message = capsys.readouterr().err
        assert f"{name} has no public address" in message
        assert "free for research after registration" in message


@pytest.mark.parametrize("name", sorted(set(PREPARERS) - {"synthetic"}))
def test_every_dataset_without_a_source_says_what_to_do(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", name, "--root", str(tmp_path / "root")]) == 0
    said = capsys.readouterr().out
    assert f"actionrnn prepare {name} --source" in said
    if name not in ("folder", "csv", "segments"):
        for word in ("https://", "licence", "size", "holds"):
            assert word in said
    assert not (tmp_path / "root").exists()
