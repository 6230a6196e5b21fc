"""Looking after stores: what there is, whether it is whole, freeing space, moving in and out."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features.clip_sources import source_of
from actionrnn.features.extract import CLIPS_PER_SHARD, FAILURES_NAME
from actionrnn.features.resolve import imported_spec
from actionrnn.features.shard import NAME, SUFFIX, Entry, unwritable, write_shard
from actionrnn.features.spec import IMPORTED, FeatureSpec
from actionrnn.features.store import SPEC_NAME, FeatureStore

FileFormat = Literal["npy", "safetensors"]
DISCARDED = ".damaged"
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
    return known or name.endswith((SUFFIX, DISCARDED)) or _is_temporary(name)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _abandoned(folder: Path) -> list[Path]:
    """Half-written files that belong to no living process."""
    old = time.time() - ABANDONED_SECONDS
    return [
        path for path in folder.iterdir() if _is_temporary(path.name) and path.stat().st_mtime < old
    ]


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
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def import_features(
    manifest: Manifest,
    source: Path,
    folder: Path,
    name: str,
    dtype: Literal["float32", "float16"] = "float32",
) -> FeatureStore:
    """Make a store of features made elsewhere; `--features.backbone.name import:NAME` uses it.

    Run again, it takes what the source has now.

    Args:
        manifest: the clips.
        source: folder with a file a clip, `<video_id>.npy` or `<video_id>.safetensors` (one
            tensor): float (T, D), or (V, T, D) with V views.
        folder: where stores are kept.
        name: what to call them.
        dtype: how to store them.

    Raises:
        ActionRNNError: for a file of another shape, or if not one clip has a file.
    """
    store = FeatureStore.create(folder, imported_spec(IMPORTED + name))
    found: list[tuple[Entry, NDArray[np.floating] | None]] = []
    num_found = 0
    shape: tuple[int, int] | None = None
    for video_id in manifest.table["video_id"]:
        path = _feature_file(source, video_id)
        if path is None:
            reason = f"{source} has no {video_id}.npy or .safetensors"
            found.append((Entry(video_id, "missing", error=reason), None))
        else:
            array = _read_array(path)
            shape = shape or (array.shape[0], array.shape[2])
            if (array.shape[0], array.shape[2]) != shape:
                raise ActionRNNError(
                    f"{path}: {array.shape[0]} views of D = {array.shape[2]}, but the clips "
                    f"before have {shape[0]} of {shape[1]}"
                )
            num_found += 1
            found.append((Entry(video_id, source_of(path), array.shape[1]), array.astype(dtype)))
        if len(found) == CLIPS_PER_SHARD:
            write_shard(store.folder, found, f"imported from {source.name}")
            found = []
    if not num_found:
        raise ActionRNNError(
            f"{source} holds features of not one of the {len(manifest.table)} clips; wanted "
            f"files like {manifest.table['video_id'].iloc[0]}.npy"
        )
    if found:
        write_shard(store.folder, found, f"imported from {source.name}")
    return FeatureStore.open(store.folder)


def export_features(store: FeatureStore, target: Path, file_format: FileFormat) -> int:
    """Write a file a clip, (V, T, D), and the spec and the list of failures beside them.

    Returns:
        How many clips were written; `import_features` reads them back.

    Raises:
        ActionRNNError: if a clip's name is no file name, or the folder cannot be written.
    """
    try:
        for video_id in store.video_ids:
            stem = _inside(target, video_id)
            stem.parent.mkdir(parents=True, exist_ok=True)
            temporary = stem.with_name(f".{stem.name}.{uuid.uuid4().hex[:8]}.tmp")
            if file_format == "npy":
                with open(temporary, "wb") as file:
                    np.save(file, store.read(video_id))
            else:
                save_file({"features": store.read(video_id)}, temporary)
            os.replace(temporary, stem.with_name(f"{stem.name}.{file_format}"))
        shutil.copyfile(store.folder / SPEC_NAME, target / SPEC_NAME)
    except OSError as error:
        raise ActionRNNError(unwritable(target, error)) from error
    return len(store.video_ids)


def _inside(folder: Path, video_id: str) -> Path:
    if Path(video_id).is_absolute() or ".." in Path(video_id).parts:
        raise ActionRNNError(f"video_id {video_id!r} would be a file outside of {folder}")
    return folder / video_id


def _feature_file(source: Path, video_id: str) -> Path | None:
    stem = _inside(source, video_id)
    for ending in (".npy", ".safetensors"):
        if (path := stem.with_name(stem.name + ending)).is_file():
            return path
    return None


def _read_array(path: Path) -> NDArray[np.floating]:
    array: NDArray[np.floating]
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            (array,) = load_file(path).values()
    except (ValueError, OSError, EOFError, SafetensorError) as error:
        raise ActionRNNError(f"{path}: not one array of features ({error})") from error
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or not array.size or not np.issubdtype(array.dtype, np.floating):
        raise ActionRNNError(
            f"{path}: wanted float (T, D) or (V, T, D), found {array.dtype} {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ActionRNNError(f"{path}: not all its values are finite")
    return array
