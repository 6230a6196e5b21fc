"""The clips of a manifest, and what their files are at this moment."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionrnn.datasets.manifest import Manifest
from actionrnn.features.spec import FeatureSettings
from actionrnn.video.isolate import ClipRequest


@dataclass(frozen=True)
class Clip:
    """One clip to extract.

    Attributes:
        video_id: its name in the manifest.
        request: how it is read.
        source: state of its file, see `source_of`, and the part of it.
    """

    video_id: str
    request: ClipRequest
    source: str


def clips_of(manifest: Manifest, settings: FeatureSettings) -> list[Clip]:
    """Every clip of a manifest with what its file is now."""
    columns = ("video_id", "start_seconds", "end_seconds")
    rows = zip(*(manifest.table[name] for name in columns), manifest.video_paths(), strict=True)
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
            source_of(path) + _part(_seconds(start), _seconds(end)),
        )
        for video_id, start, end, path in rows
    ]


def _seconds(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _part(start: float | None, end: float | None) -> str:
    return "" if start is None and end is None else f"@{start}-{end}"


def source_of(path: Path) -> str:
    """State of a clip's file: size and time of change (`missing` if there is none)."""
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size}-{state.st_mtime_ns}"


def content_of(clip: Clip) -> str:
    """32 hex digits that change with the file's content or the part of it; empty if unreadable."""
    part = _part(clip.request.start_seconds, clip.request.end_seconds)
    if not os.path.isfile(clip.request.path):  # a pipe would keep us waiting
        return ""
    try:
        with open(clip.request.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32] + part
    except OSError:
        return ""
