"""Looking after stores: what there is, whether it is whole, freeing space."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionrnn.errors import ActionRNNError
from actionrnn.features.extract import FAILURES_NAME
from actionrnn.features.shard import NAME, SUFFIX
from actionrnn.features.spec import FeatureSpec
from actionrnn.features.store import SPEC_NAME, FeatureStore
from actionrnn.files import is_unfinished

DISCARDED = ".damaged"
IMPORTING = ".import-"  # begins the folder in which an import builds its store
ABANDONED_SECONDS = 3600.0  # an unfinished file that old belongs to no living process


@dataclass(frozen=True)
class StoreInfo:
    """One store.

    Attributes:
        folder: where it lies.
        spec: what its features are.
        num_clips, num_failures: clips with features, clips that could not be read.
        num_views, feature_dim: V and D; D is 0 where there are no features.
        num_bytes: all its files on disk.
        num_superseded_bytes: shards whose clips were all extracted again since.
        damaged: shards and foreign files that cannot be used, with the reason.
    """

    folder: Path
    spec: FeatureSpec
    num_clips: int
    num_failures: int
    num_views: int
    feature_dim: int
    num_bytes: int
    num_superseded_bytes: int
    damaged: dict[Path, str]


@dataclass(frozen=True)
class Pruned:
    """One file or folder that was, or would be, deleted, and why."""

    path: Path
    num_bytes: int
    reason: str


def store_folders(folder: Path) -> list[Path]:
    """The store at `folder`, or all stores right below it.

    Raises:
        ActionRNNError: if there is none.
    """
    places = [folder, *sorted(folder.glob("*/"))]
    found = [place for place in places if (place / SPEC_NAME).is_file()]
    if not found:
        raise ActionRNNError(f"{folder} is no feature store and holds none")
    return found


def info(folder: Path) -> StoreInfo:
    """Describe the store in a folder."""
    store = FeatureStore.open(folder)
    video_ids = store.video_ids
    return StoreInfo(
        folder,
        store.spec,
        len(video_ids),
        len(store.failures),
        store.num_views,
        store.feature_dim if video_ids else 0,
        _size(folder),
        sum(_size(path) for path in store.superseded()),
        store.damaged,
    )


def verify(folder: Path) -> dict[Path, str]:
    """Read every byte of a store; what is damaged, foreign or half-written, with the reason."""
    return FeatureStore.open(folder, verify=True).damaged | dict(_foreign(folder))


def _foreign(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that are neither shards (those are judged by their content) nor the store's own."""
    unfinished = set(_abandoned(folder))
    for path in sorted(folder.iterdir()):
        if path in unfinished:
            yield path, f"{path} is half-written: its process was killed; prune deletes it"
        elif not _is_own(path.name):
            yield path, f"{path} is no file of a feature store; it is left alone"


def _is_own(name: str) -> bool:
    known = name in (SPEC_NAME, FAILURES_NAME)
    return known or name.endswith((SUFFIX, DISCARDED)) or is_unfinished(name)


def _abandoned(folder: Path) -> list[Path]:
    """Half-written files that belong to no living process."""
    old = time.time() - ABANDONED_SECONDS
    unfinished = (path for path in folder.iterdir() if is_unfinished(path.name))
    return [path for path in unfinished if path.stat().st_mtime < old]


def discard(damaged: dict[Path, str]) -> list[Path]:
    """Set damaged shards aside, so that the next extraction makes their clips again.

    Foreign files are left alone.

    Returns:
        The new names (`NAME.damaged`), which `prune` deletes.
    """
    shards = [path for path in damaged if NAME.fullmatch(path.name)]
    return [path.rename(path.with_name(path.name + DISCARDED)) for path in shards]


def prune(folder: Path, keep: Sequence[str] | None = None, dry_run: bool = False) -> list[Pruned]:
    """Delete what no reader of the stores below `folder` needs; foreign files stay.

    Args:
        folder: of one store or of several.
        keep: delete whole stores too, all but those of these fingerprints; None keeps all.
        dry_run: only tell.

    Returns:
        Damaged and superseded shards, files of processes that died, and whole stores.

    Raises:
        ActionRNNError: if `keep` names a fingerprint that is not there, or nothing can be deleted.
    """
    folders = store_folders(folder)
    unknown = set(keep or ()) - {place.name for place in folders}
    if unknown:
        known = ", ".join(place.name for place in folders)
        raise ActionRNNError(
            f"{folder} holds no store {', '.join(sorted(unknown))}; known: {known}"
        )
    doomed: list[Pruned] = []
    for place in folders:
        if keep is not None and place.name not in keep:
            doomed.append(Pruned(place, _size(place), "store not kept"))
        else:
            doomed += [Pruned(path, _size(path), why) for path, why in _garbage(place)]
    old = time.time() - ABANDONED_SECONDS
    imports = (path for path in folder.glob(f"{IMPORTING}*") if path.stat().st_mtime < old)
    doomed += [Pruned(path, _size(path), "unfinished") for path in imports]
    if not dry_run:
        for each in doomed:
            _delete(each.path)
    return doomed


def _garbage(folder: Path) -> Iterator[tuple[Path, str]]:
    store = FeatureStore.open(folder)
    yield from ((path, "superseded") for path in store.superseded())
    yield from ((path, "damaged") for path in store.damaged if NAME.fullmatch(path.name))
    yield from ((path, "damaged") for path in folder.glob(f"*{DISCARDED}"))
    yield from ((path, "unfinished") for path in _abandoned(folder))


def _delete(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ActionRNNError(f"{path} cannot be deleted ({error.strerror})") from error


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files)
