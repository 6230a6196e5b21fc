"""Fetch a public file: resumed where it broke off, verified before it gets its name.

A server may send too much, too slowly or for ever, and a partial file may be somebody else's: no
more is written than was announced, a connection that stalls is given up, and `NAME.part` is gone
on with only where the note beside it says that it is a part of this address.
"""

import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from actionrnn.datasets.source.names import why_unsafe
from actionrnn.errors import ActionRNNError
from actionrnn.files import publish_json, publish_text, sha256_of_file, sync
from actionrnn.progress import byte_progress, tell

_CHUNK_BYTES = 1 << 20
# A connection that brings less than this, in all or within its time limit, has not got on.
_LEAST_PROGRESS_BYTES = 1 << 16
# Where nobody says how large the file is.
_MOST_UNANNOUNCED_BYTES = 4 << 30
# Answers that trying again does not change: client errors, save "too slow" and "too often".
_FINAL = frozenset(range(400, 500)) - {408, 429}


class DownloadError(ActionRNNError):
    """A file that could not be fetched, or is not the one that was published."""


@dataclass(frozen=True)
class RemoteFile:
    """A file with a public address.

    Attributes:
        url: http or https.
        num_bytes, sha256: as published; None where nobody published it. Then the server's own
            length is checked, and the SHA-256 is kept beside the file for the next time.
        folder: where it goes, below the folder of all downloads.
    """

    url: str
    num_bytes: int | None = None
    sha256: str | None = None
    folder: str = ""

    @property
    def name(self) -> str:
        """File name: the last part of the address."""
        return self.url.rstrip("/").rsplit("/", 1)[-1]


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(f"{req.full_url} leads to {newurl}, which is not https; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    remote: RemoteFile,
    folder: Path,
    *,
    attempts: int = 5,
    pause_seconds: float = 2.0,
    timeout_seconds: float = 30.0,
) -> Path:
    """Fetch into `folder`; a file that is there and verified is not fetched again.

    A broken connection is taken up where it broke, `attempts` times in a row without progress;
    what has come so far waits in `NAME.part`, also for a later run.

    Args:
        remote: what to fetch.
        folder: where to.
        attempts: how often in a row a connection may fail, or stall.
        pause_seconds: between two attempts.
        timeout_seconds: for an answer, and for each 64 KiB.

    Raises:
        DownloadError: if it cannot be fetched, its size or SHA-256 is wrong, or `NAME.part` is
            not a part of it.
    """
    if not remote.url.startswith(("https://", "http://")):
        raise DownloadError(f"{remote.url}: only http and https addresses are fetched")
    if reason := why_unsafe(remote.name):
        raise DownloadError(f"{remote.url}: the file name {remote.name!r} {reason}; rejected")
    target = folder / remote.folder / remote.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        _verify(target, remote, _recorded_sha256(target))
        tell(f"{target} is there already and verified")
        return target
    part = _beside(target, ".part")
    _require_own(part, remote)
    failures = 0
    while True:
        before = _size(part)
        try:
            if _fetch(remote, part, timeout_seconds):
                break
            error: Exception | None = None
        except (OSError, http.client.HTTPException) as caught:
            if isinstance(caught, urllib.error.HTTPError) and caught.code in _FINAL:
                raise DownloadError(f"{remote.url}: the server says {caught}") from caught
            if isinstance(getattr(caught, "reason", None), ssl.SSLCertVerificationError):
                raise DownloadError(f"{remote.url}: {caught}; certificates are checked") from caught
            error = caught
        got_on = _size(part) - before >= _LEAST_PROGRESS_BYTES
        failures = 0 if got_on and not isinstance(error, _Stalled) else failures + 1
        if failures >= attempts:
            raise DownloadError(
                f"{remote.url}: gave up after {attempts} attempts without progress "
                f"({error or 'the connection breaks off'}); {_size(part)} bytes are kept in "
                f"{part}, run the same command to go on"
            ) from error
        time.sleep(pause_seconds)
    sha256 = _verify(part, remote, None)
    publish_text(_beside(target, ".sha256"), f"{sha256}  {target.name}\n")
    sync(part)
    os.replace(part, target)
    _beside(part, ".json").unlink(missing_ok=True)
    return target


class _Stalled(TimeoutError):
    """A connection that is open and brings next to nothing."""


def _require_own(part: Path, remote: RemoteFile) -> None:
    """Refuse a partial file that somebody else left, or laid out.

    Raises:
        DownloadError: if it is a link or a folder, or nothing says that it is of this address.
    """
    if part.is_symlink() or (part.exists() and not part.is_file()):
        what = "is a link or a folder, not a partial file"
    elif part.exists() and _origin(part).get("url") != remote.url:
        what = f"was not left by a download of {remote.url}"
    else:
        return
    raise DownloadError(f"{part} {what}; move it away to fetch the file from its start")


def _fetch(remote: RemoteFile, part: Path, timeout_seconds: float) -> bool:
    """One connection, from where `part` ends; True once everything is there."""
    have, validator = _size(part), _origin(part).get("validator")
    headers = {"User-Agent": "actionrnn", "Accept-Encoding": "identity"}
    if have and validator:  # without one nobody can tell whether the file is still the same
        headers["Range"], headers["If-Range"] = f"bytes={have}-", validator
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context()), _NoDowngrade
    )
    try:
        answer = opener.open(
            urllib.request.Request(remote.url, headers=headers), timeout=timeout_seconds
        )
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()
        return False
    with answer:
        resumed = (
            "Range" in headers
            and answer.status == 206
            and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        )
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else remote.num_bytes
        _check_total(remote, total, part.parent, have)
        etag = answer.headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
        publish_json(_beside(part, ".json"), {"url": remote.url, "validator": strong})
        with part.open("ab" if resumed else "wb") as file:
            chunks = _chunks(answer, timeout_seconds)
            for chunk in byte_progress(chunks, f"fetching {remote.name}", total, have):
                have += len(chunk)
                if have > (_MOST_UNANNOUNCED_BYTES if total is None else total):
                    raise DownloadError(
                        f"{remote.url}: the server sends more than "
                        f"{'4 GiB without saying how much' if total is None else f'{total} bytes'}"
                        f"; stopped. Fetch it yourself and pass it with --source"
                    )
                file.write(chunk)
    return total is None or _size(part) >= total


def _chunks(answer: http.client.HTTPResponse, timeout_seconds: float) -> Iterator[bytes]:
    """What comes, piece by piece.

    Raises:
        _Stalled: if a time limit passes with less than 64 KiB.
    """
    since, received = time.monotonic(), 0
    while chunk := answer.read1(_CHUNK_BYTES):
        yield chunk
        received += len(chunk)
        if received >= _LEAST_PROGRESS_BYTES:
            since, received = time.monotonic(), 0
        elif time.monotonic() - since > timeout_seconds:
            raise _Stalled(f"only {received} bytes came in {timeout_seconds:g} s")


def _check_total(remote: RemoteFile, total: int | None, folder: Path, have: int) -> None:
    if total is None:
        return
    if remote.num_bytes is not None and total != remote.num_bytes:
        raise DownloadError(
            f"{remote.url}: the server offers {total} bytes, published are {remote.num_bytes}"
        )
    free = shutil.disk_usage(folder).free
    if total - have > free:
        raise DownloadError(
            f"{remote.url}: {total - have} bytes are to come, {folder} has room for {free}"
        )


def _verify(path: Path, remote: RemoteFile, recorded_sha256: str | None) -> str:
    """The SHA-256 of a file that is as published, or as it was when it came.

    Raises:
        DownloadError: if not. A partial file is removed, so that the next run starts again.
    """
    size = _size(path)
    sha256 = sha256_of_file(path)
    wanted = remote.sha256 or recorded_sha256
    if remote.num_bytes not in (None, size):
        wrong = f"it has {size} bytes, published are {remote.num_bytes}"
    elif wanted not in (None, sha256):
        wrong = f"its SHA-256 is {sha256}, expected is {wanted}"
    else:
        return sha256
    if path.suffix == ".part":
        path.unlink()
        raise DownloadError(f"{remote.url}: what came is not what was published: {wrong}; removed")
    raise DownloadError(f"{path}: {wrong}; remove it to fetch it again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def _origin(part: Path) -> dict[str, Any]:
    """The address of a partial file, and its server's mark of the version; empty if unknown."""
    file = _beside(part, ".json")
    try:
        origin = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    except ValueError:
        origin = {}
    return origin if isinstance(origin, dict) else {}


def _recorded_sha256(target: Path) -> str | None:
    note = _beside(target, ".sha256")
    return note.read_text(encoding="utf-8").split()[0] if note.is_file() else None
