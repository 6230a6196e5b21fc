"""Clips that show the same although their files differ: re-encoded, resized, cut from one take.

A clip's fingerprint is a difference hash (dHash) of a few frames spread over it: is a pixel of
the tiny grey picture brighter than its left neighbour? Re-encoding flips few of these bits, other
pictures agree in about half of them.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionrnn.datasets.file_checks import Segment, read_each
from actionrnn.datasets.manifest import Manifest
from actionrnn.video.reader import open_video, read_chosen
from actionrnn.video.sampling import sample_uniform

NUM_FRAMES, LONGEST_SECONDS = 5, 20.0
# Share of equal bits from which two clips count as showing the same. Measured on surveillance
# fights: 35,236 pairs from different recordings reach 0.63 at most; of 1,079 pairs from one
# recording 238 reach 0.75.
SIMILARITY = 0.75
# Cosine of mean features from which two clips count as close. Measured on surveillance fights with
# ImageNet MobileNetV2: pairs from different recordings reach 0.83 at most; of 1,079 pairs from one
# recording 104 reach 0.93.
COSINE = 0.93
_SIDE = 12
# A step between neighbours below this many grey levels is noise: the bit says nothing.
_NOISE_LEVELS = 3
# Fewest telling bits of a fingerprint: a black clip is like every other black clip.
_FEWEST_BITS = 100
_ROWS_AT_ONCE = 1024
_READERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class NearDuplicate:
    """Two clips that show much the same.

    Attributes:
        first, second: row numbers in the manifest's table, first < second.
        similarity: share of equal bits, or cosine, up to 1.
    """

    first: int
    second: int
    similarity: float


def fingerprint(
    path: Path, start_seconds: float | None = None, end_seconds: float | None = None
) -> NDArray[np.float32]:
    """Signs of brightness steps, -1, 0 (too small to tell) or 1, float32 (bits,).

    Of a long clip the first 20 seconds count. PyAV decodes: files that make decord hang do not
    stop it.

    Raises:
        VideoError: if the clip cannot be read.
    """
    last = (start_seconds or 0.0) + LONGEST_SECONDS
    end_seconds = last if end_seconds is None else min(end_seconds, last)
    with open_video(path, "pyav", start_seconds, end_seconds) as video:
        frames, _ = read_chosen(video, lambda: sample_uniform(video.num_frames, NUM_FRAMES))
    return np.concatenate([_steps(frame) for frame in frames])


def fingerprints(segments: Sequence[Segment]) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Fingerprints float32 (n, bits); and by row why a clip has none (its row is zero)."""
    prints = np.zeros((len(segments), NUM_FRAMES * 2 * _SIDE * _SIDE), dtype=np.float32)

    def take(row: int) -> NDArray[np.float32]:
        return fingerprint(*segments[row])

    rows = range(len(segments))
    found, faults = read_each(take, rows, "looking for near-duplicates", _READERS)
    for row, signs in found.items():
        prints[row] = signs
    return prints, faults


def segments_of(manifest: Manifest) -> list[Segment]:
    """File, start and end of every clip of a manifest."""

    def bound(seconds: float) -> float | None:
        return None if np.isnan(seconds) else float(seconds)

    table = manifest.table
    starts, ends = map(bound, table["start_seconds"]), map(bound, table["end_seconds"])
    return list(map(Segment, manifest.video_paths(), starts, ends))


def find_near_duplicates(signs: NDArray[np.float32]) -> list[NearDuplicate]:
    """Pairs of fingerprints that agree in at least `SIMILARITY` of the bits that tell.

    A bit counts where either clip has a step; where one has none, it counts as half agreed.
    """
    telling = np.abs(signs)
    pairs = []
    for rows in _blocks(len(signs)):
        product = signs[rows] @ signs.T
        both = telling[rows].sum(1)[:, None] + telling.sum(1)[None] - telling[rows] @ telling.T
        share = np.where(both >= _FEWEST_BITS, 0.5 + product / np.maximum(2 * both, 1), 0)
        pairs += _pairs(share, rows.start, SIMILARITY)
    return pairs


def similar_features(features: NDArray[np.float32]) -> list[NearDuplicate]:
    """Pairs of rows of `features` (n, D), such as clips' mean features, close by `COSINE`."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norms, 1e-12)
    blocks = ((unit[rows] @ unit.T, rows.start) for rows in _blocks(len(unit)))
    return [pair for share, start in blocks for pair in _pairs(share, start, COSINE)]


def across(pairs: Sequence[NearDuplicate], manifest: Manifest, column: str) -> list[NearDuplicate]:
    """The pairs whose clips lie in different parts of a split, `unused` clips left out."""
    split = manifest.table[column].tolist()
    return [
        pair
        for pair in pairs
        if split[pair.first] != split[pair.second]
        and "unused" not in (split[pair.first], split[pair.second])
    ]


def _steps(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Signs of the steps to the right and down of a grey picture of 13 x 13."""
    grey = Image.fromarray(frame).convert("L").resize((_SIDE + 1, _SIDE + 1), Image.Resampling.BOX)
    levels = np.asarray(grey, dtype=np.int16)
    steps = np.stack([np.diff(levels, axis=1)[:_SIDE], np.diff(levels, axis=0)[:, :_SIDE]])
    signs: NDArray[np.float32] = (np.sign(steps) * (np.abs(steps) >= _NOISE_LEVELS)).ravel()
    return signs.astype(np.float32)


def _blocks(num_rows: int) -> Iterator[slice]:
    return (slice(k, min(k + _ROWS_AT_ONCE, num_rows)) for k in range(0, num_rows, _ROWS_AT_ONCE))


def _pairs(share: NDArray[np.float32], start: int, least: float) -> list[NearDuplicate]:
    firsts, seconds = np.nonzero(share >= least)
    return [
        NearDuplicate(start + int(a), int(b), float(share[a, b]))
        for a, b in zip(firsts, seconds, strict=True)
        if start + a < b
    ]
