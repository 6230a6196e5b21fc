"""The clips of a manifest, and what their files are at this moment."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.manifest_table import manifest_file
from actionrnn.errors import ActionRNNError
from actionrnn.features.shard import Entry
from actionrnn.features.spec import FeatureSettings
from actionrnn.files import sha256_of_file, sha256_of_text
from actionrnn.places import Object, at_hand, is_remote, place, states
from actionrnn.video.decode import ClipRequest
from actionrnn.video.errors import VideoNotFound
from actionrnn.video.formats import is_picture, pictures_in
from actionrnn.video.reader import errors_about


@dataclass(frozen=True)
class Clip:
    """One clip to extract.

    Attributes:
        video_id: its name in the manifest.
        request: how it is read.
        source: state of its file, see `source_of`, and the part of it.
        known: what was at its address when it was listed.
    """

    video_id: str
    request: ClipRequest
    source: str
    known: Object | None = None


def clips_of(manifest: Manifest, settings: FeatureSettings) -> list[Clip]:
    """Every clip of a manifest with what its file is now."""
    columns = ("video_id", "start_seconds", "end_seconds")
    paths = manifest.video_paths()
    known = states({path for path in paths if is_remote(path)})
    rows = zip(*(manifest.table[name] for name in columns), paths, strict=True)
    return [
        Clip(
            str(video_id),
            ClipRequest(
                str(path),
                settings.sampling,
                settings.transform,
                settings.reader,
                _seconds(start),
                _seconds(end),
            ),
            source_of(path, known.get(path)) + _part(_seconds(start), _seconds(end)),
            known.get(path),
        )
        for video_id, start, end, path in rows
    ]


def _seconds(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _part(start: float | None, end: float | None) -> str:
    return "" if start is None and end is None else f"@{start}-{end}"


def source_of(path: Path, known: Object | None = None) -> str:
    """State of a clip's file: size and time of change (`missing` if there is none).

    Of a folder of pictures: their size together, and a hash of their names, sizes and times. Of an
    address what is `known` to be there: its size, and a hash of its version.
    """
    if is_remote(path):
        return f"{known.num_bytes}-{sha256_of_text(known.version)[:16]}" if known else MISSING
    try:
        state = path.stat()
        if not stat.S_ISDIR(state.st_mode):
            return f"{state.st_size}-{state.st_mtime_ns}"
        with os.scandir(path) as entries:
            found = sorted((e.name, e.stat()) for e in entries if is_picture(e.name))
    except OSError:
        return MISSING
    digest = hashlib.sha256()
    for name, state in found:
        digest.update(f"{name}/{state.st_size}-{state.st_mtime_ns}/".encode())
    return f"{sum(state.st_size for _, state in found)}-{digest.hexdigest()[:16]}{PICTURES}"


def imported_sources(manifest: Manifest) -> list[str]:
    """Whose features imported ones are: for every clip the dataset's root, and its place there."""
    root = manifest.root.resolve()
    columns = (manifest.table[name] for name in ("path", "start_seconds", "end_seconds"))
    return [
        f"{root}\n{path}{_part(_seconds(start), _seconds(end))}"
        for path, start, end in zip(*columns, strict=True)
    ]


def refuse_foreign(store: Path, entries: Mapping[str, Entry], manifest: Manifest) -> None:
    """Refuse imported features of another dataset whose clips have the same names.

    A store inside the dataset's folder is the dataset's own, and so is one whose dataset has moved:
    where it was, there is none any more. Two manifests of the same files may share a store.

    Raises:
        ActionRNNError: naming the other dataset.
    """
    root = manifest.root.resolve()
    if store.resolve().is_relative_to(root):
        return
    places = dict(zip(manifest.table["video_id"], imported_sources(manifest), strict=True))
    for video_id in places.keys() & entries.keys():
        other, _, inside = entries[video_id].source.partition("\n")
        here = places[video_id].partition("\n")[2]
        there = os.path.realpath(os.path.join(other, inside))
        same_file = there == os.path.realpath(os.path.join(root, here))
        if not same_file and other != str(root) and manifest_file(place(other)):
            raise ActionRNNError(
                f"{store} holds the features of another dataset, {other}, whose clips have the "
                f"same names ({video_id}, ...). Import those of {manifest.root} under another "
                f"--name, or keep them apart with --data.features_dir (import: --features_dir)"
            )


MISSING = "missing"
PICTURES = "-pictures"  # at the end of a folder's source


@contextmanager
def clip_at_hand(clip: Clip) -> Iterator[Clip]:
    """The clip, or of one on an address the same of a local copy, while the block runs.

    Raises:
        VideoError: what the block raises, of the address; and if there is no such object.
        Unreachable: if it cannot be fetched.
    """
    path = clip.request.path
    if not is_remote(path):
        yield clip
        return
    with errors_about(path):
        if clip.known is None:
            raise VideoNotFound(path, "there is no such object")
        try:
            with at_hand(path, clip.known) as copy:
                yield replace(clip, request=replace(clip.request, path=str(copy)))
        except FileNotFoundError as error:
            raise VideoNotFound(path, "the object is not there any more") from error


def content_of(clip: Clip) -> str:
    """32 hex digits that change with the file's content or the part of it; empty if unreadable."""
    try:
        with clip_at_hand(clip) as here:
            path = Path(here.request.path)
            if path.is_dir():
                content = _sha256_of_pictures(path)
            else:  # a pipe would keep us waiting
                content = sha256_of_file(path) if path.is_file() else ""
    except (OSError, VideoNotFound):
        return ""
    part = _part(clip.request.start_seconds, clip.request.end_seconds)
    return content[:32] + part if content else ""


def _sha256_of_pictures(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in pictures_in(folder):
        digest.update(f"{file.name}/{sha256_of_file(file)}/".encode())
    return digest.hexdigest()
