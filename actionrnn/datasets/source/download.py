"""Fetch a public file: resumed where it broke off, verified before it gets its name."""

import hashlib
import http.client
import json
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from actionrnn.errors import ActionRNNError
from actionrnn.progress import tell

_CHUNK_BYTES = 1 << 20
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

    A broken connection is taken up where it broke, `attempts` times in a row without any
    progress; what has come so far waits in `NAME.part`, also for a later run.

    Raises:
        DownloadError: if it cannot be fetched, or its size or SHA-256 is wrong.
    """
    if not remote.url.startswith(("https://", "http://")):
        raise DownloadError(f"{remote.url}: only http and https addresses are fetched")
    target = folder / remote.folder / remote.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        _verify(target, remote, _recorded_sha256(target))
        tell(f"{target} is there already and verified")
        return target
    part = target.with_name(target.name + ".part")
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
        failures = 0 if _size(part) > before else failures + 1
        if failures >= attempts:
            raise DownloadError(
                f"{remote.url}: gave up after {attempts} attempts without progress "
                f"({error or 'the connection breaks off'}); {_size(part)} bytes are kept in "
                f"{part}, run the same command to go on"
            ) from error
        time.sleep(pause_seconds)
    sha256 = _verify(part, remote, None)
    _note(target).write_text(f"{sha256}  {target.name}\n", encoding="utf-8")
    os.replace(part, target)
    _validator_file(part).unlink(missing_ok=True)
    return target


def _fetch(remote: RemoteFile, part: Path, timeout_seconds: float) -> bool:
    """One connection, from where `part` ends; True once everything is there."""
    have, validator_file = _size(part), _validator_file(part)
    headers = {"User-Agent": "actionrnn", "Accept-Encoding": "identity"}
    if have:
        validator = validator_file.read_text("utf-8") if validator_file.is_file() else ""
        headers["Range"] = f"bytes={have}-"
        # Without a validator nobody can tell whether the file is still the same: start again.
        headers["If-Range"] = json.loads(validator) if validator else '"unknown"'
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
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else remote.num_bytes
        _check_total(remote, total, part.parent, have)
        etag = answer.headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
        if strong:
            validator_file.write_text(json.dumps(strong), encoding="utf-8")
        with part.open("ab" if resumed else "wb") as file, _bar(remote.name, total, have) as bar:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                bar.advance(bar.task_ids[0], len(chunk))
    return total is None or _size(part) >= total


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
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
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


def _bar(name: str, total: int | None, have: int) -> Progress:
    bar = Progress(
        TextColumn("{task.description}"),
        *(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    bar.add_task(name, total=total, completed=have)
    if not sys.stderr.isatty():
        tell(f"fetching {name}: {have} of {'?' if total is None else total} bytes are here")
    return bar


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _recorded_sha256(target: Path) -> str | None:
    note = _note(target)
    return note.read_text(encoding="utf-8").split()[0] if note.is_file() else None
