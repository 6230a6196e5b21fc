"""Which clips of a manifest show the same, and which splits they cross."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actionrnn.datasets.content_hash import CONTENT, with_content
from actionrnn.datasets.groups import pairs_of_equal
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.picture_hash import (
    NearDuplicate,
    across,
    find_near_duplicates,
    fingerprints,
    segments_of,
    similar_features,
)

Kind = Literal["identical", "looks alike", "close features"]


@dataclass(frozen=True)
class Finding:
    """Two clips that are the same, or look it.

    Attributes:
        kind: equal bytes, equal looks (fingerprint), or close features (cosine).
        first, second: `video_id`s.
        similarity: 1 for equal bytes, else share of equal bits or cosine.
        crosses: split columns that put the two into different parts, `split1 (train, test)`.
        same_group: both have one group, so that a split by group keeps them together.
    """

    kind: Kind
    first: str
    second: str
    similarity: float
    crosses: tuple[str, ...]
    same_group: bool

    def __str__(self) -> str:
        where = f"; in different parts of {', '.join(self.crosses)}" if self.crosses else ""
        return f"{self.first} ~ {self.second}: {self.kind} ({self.similarity:.2f}){where}"


def find_duplicates(
    manifest: Manifest, features: NDArray[np.float32] | None = None
) -> tuple[list[Finding], dict[str, str]]:
    """Identical and near-identical clips, those that cross a split first.

    Args:
        manifest: whose clips are compared, `unused` ones too.
        features: one row per clip, such as its mean cached feature (n, D): then closeness is the
            cosine of these, and no video is decoded.

    Returns:
        The findings, and by `video_id` why a clip could not be read.
    """
    equal = pairs_of_equal(with_content(manifest).table[CONTENT].tolist())
    faults: dict[str, str] = {}
    kind: Kind = "close features"
    if features is None:
        kind = "looks alike"
        signs, by_row = fingerprints(segments_of(manifest))
        near = find_near_duplicates(signs)
        faults = {str(manifest.table["video_id"].iloc[row]): why for row, why in by_row.items()}
    else:
        near = similar_features(features)
    known = set(equal)
    findings = _findings("identical", [NearDuplicate(a, b, 1.0) for a, b in equal], manifest)
    findings += _findings(kind, [p for p in near if (p.first, p.second) not in known], manifest)
    return sorted(findings, key=lambda found: not found.crosses), faults


def _findings(
    kind: Kind,
    pairs: Sequence[NearDuplicate],
    manifest: Manifest,
) -> list[Finding]:
    crosses: dict[NearDuplicate, list[str]] = {pair: [] for pair in pairs}
    for column in manifest.splits:
        part = manifest.table[column].tolist()
        for pair in across(pairs, manifest, column):
            crosses[pair].append(f"{column} ({part[pair.first]}, {part[pair.second]})")
    ids, groups = manifest.table["video_id"].tolist(), manifest.table["group"].tolist()
    return [
        Finding(
            kind,
            ids[pair.first],
            ids[pair.second],
            pair.similarity,
            tuple(crosses[pair]),
            bool(groups[pair.first]) and groups[pair.first] == groups[pair.second],
        )
        for pair in pairs
    ]
