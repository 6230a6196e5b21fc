"""Which clips belong together: by a pattern in their names, or because they show the same."""

import math
import os
import re
from collections.abc import Iterable, Sequence

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.file_checks import Segment


def groups_by_regex(names: Sequence[str], pattern: str) -> list[str]:
    """The first parenthesis of `pattern` in every name, as in `_g(\\d+)_`.

    Raises:
        ManifestError: if the pattern is not one, has no parenthesis, or is not found in a name.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ManifestError(
            f"--group_regex {pattern!r} is no regular expression: {error}"
        ) from error
    if not regex.groups:
        raise ManifestError(
            f"--group_regex {pattern!r} has no parenthesis around the group, as in '_g([0-9]+)_'"
        )
    found = [regex.search(name) for name in names]
    lost = [name for name, match in zip(names, found, strict=True) if not match or not match[1]]
    if lost:
        raise ManifestError(
            f"--group_regex {pattern!r} finds no (group) in {len(lost)} of {len(names)} names, "
            f"such as {lost[0]!r}"
        )
    return [match[1] for match in found if match]


def own_groups(groups: Sequence[str]) -> list[str]:
    """The groups, where a clip with an empty one is a group of its own."""
    return [group or f"\0{row}" for row, group in enumerate(groups)]


def join_groups(
    groups: Sequence[str], pairs: Iterable[tuple[int, int]], names: Sequence[str]
) -> list[str]:
    """Groups in which the two rows of every pair share one; other rows keep theirs.

    A joined group has the name of its first row's group, or, if it had none, `like NAME` with
    that row's entry of `names`.
    """
    from scipy.cluster.hierarchy import DisjointSet  # half a second, and needed by few

    own = own_groups(groups)
    sets = DisjointSet(own)
    joined: set[str] = set()
    for first, second in pairs:
        sets.merge(own[first], own[second])
        joined |= {own[first], own[second]}
    roots = {sets[name] for name in joined}
    title: dict[str, str] = {}
    for row, name in enumerate(own):
        title.setdefault(sets[name], groups[row] or f"like {names[row]}")
    return [
        title[sets[name]] if sets[name] in roots else group
        for name, group in zip(own, groups, strict=True)
    ]


def pairs_of_equal(keys: Sequence[str]) -> list[tuple[int, int]]:
    """The first row with a key and every later row with the same, empty keys left out."""
    first: dict[str, int] = {}
    return [
        (first[key], row)
        for row, key in enumerate(keys)
        if key and first.setdefault(key, row) != row
    ]


def pairs_of_overlapping(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """Rows whose seconds of one file overlap, each with one that links it to the others."""
    rows = sorted(
        range(len(segments)),
        key=lambda row: (os.path.normpath(segments[row].path), segments[row].start_seconds or 0.0),
    )
    pairs = []
    latest: dict[str, tuple[float, int]] = {}
    for row in rows:
        path, start, end = segments[row]
        end = math.inf if end is None else end
        before, last = latest.get(os.path.normpath(path), (-math.inf, row))
        if before > (start or 0.0):
            pairs.append((last, row))
        if end > before:
            latest[os.path.normpath(path)] = (end, row)
    return pairs
