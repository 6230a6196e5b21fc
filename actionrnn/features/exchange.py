"""Features move in and out of stores: a plain array file for each clip."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.arrays import array_names, first_file
from actionrnn.errors import ActionRNNError
from actionrnn.features.admin import IMPORTING
from actionrnn.features.clip_sources import imported_sources, refuse_foreign
from actionrnn.features.extract import CLIPS_PER_SHARD
from actionrnn.features.resolve import imported_spec
from actionrnn.features.shard import Entry, unwritable, write_shard
from actionrnn.features.spec import IMPORTED
from actionrnn.features.store import SPEC_NAME, FeatureStore
from actionrnn.files import publish_bytes, published

FileFormat = Literal["npy", "safetensors"]
Imported = tuple[Entry, NDArray[np.floating] | None]


def import_features(
    manifest: Manifest,
    source: Path,
    folder: Path,
    name: str,
    dtype: Literal["float32", "float16"] = "float32",
) -> FeatureStore:
    """Make a store of features made elsewhere; `--features.backbone.name import:NAME` uses it.

    Run again, it takes what the source has now: the new store takes the old one's place at once,
    whatever the size and the views of its features.

    Args:
        manifest: the clips.
        source: folder with a file a clip, see `feature_files`: float (T, D), or (V, T, D) with V
            views.
        folder: where stores are kept.
        name: what to call them.
        dtype: how to store them.

    Raises:
        ActionRNNError: for a file of another shape, if not one clip has a file, or if the name
            stands for the features of another dataset in this folder.
    """
    spec = imported_spec(IMPORTED + name)
    target = folder / spec.fingerprint
    if target.is_dir():
        refuse_foreign(target, FeatureStore(target, spec).entries, manifest)
    files = feature_files(manifest, source)
    if not any(files.values()):
        raise ActionRNNError(
            f"{source} holds features of not one of the {len(manifest.table)} clips; wanted "
            f"files like {manifest.table['video_id'].iloc[0]}.npy"
        )
    building = folder / f"{IMPORTING}{token_hex(4)}"
    try:
        store = FeatureStore.create(building, spec)
        clips = _read_all(manifest, source, files, dtype)
        while some := list(islice(clips, CLIPS_PER_SHARD)):
            write_shard(store.folder, some, f"imported from {source.name}")
        if target.is_dir():
            os.replace(target, building / "replaced")
        os.replace(store.folder, target)
    except OSError as error:
        raise ActionRNNError(unwritable(folder, error)) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return FeatureStore.open(target)


def _read_all(
    manifest: Manifest, source: Path, files: dict[str, Path | None], dtype: str
) -> Iterator[Imported]:
    """Every clip with its features, all of one shape, or why it has none."""
    shape: tuple[int, int] | None = None
    sources = dict(zip(manifest.table["video_id"], imported_sources(manifest), strict=True))
    for video_id, path in files.items():
        if path is None:
            error = f"{source} has no {video_id}.npy or .safetensors"
            yield Entry(video_id, sources[video_id], error=error), None
            continue
        array = _read_array(path)
        shape = shape or (array.shape[0], array.shape[2])
        if (array.shape[0], array.shape[2]) != shape:
            raise ActionRNNError(
                f"{path}: {array.shape[0]} views of D = {array.shape[2]}, but the clips "
                f"before have {shape[0]} of {shape[1]}"
            )
        with np.errstate(over="ignore"):
            stored = array.astype(dtype)
        if not np.isfinite(stored).all():
            raise ActionRNNError(f"{path}: not all its values are finite in {dtype}")
        yield Entry(video_id, sources[video_id], array.shape[1]), stored


def feature_files(manifest: Manifest, source: Path) -> dict[str, Path | None]:
    """For every clip the file of its features in a folder, None if there is none.

    A file is named after the clip or its video, `.npy` or `.safetensors` instead of the ending or
    behind it: of the clip `walk/a`, or `walk/a.avi`, it is `walk/a.npy` or `walk/a.avi.npy`.

    Raises:
        ActionRNNError: if two clips have the same file, or a clip's name leaves the folder.
    """
    found: dict[str, Path | None] = {}
    clips_of: dict[Path, list[str]] = defaultdict(list)
    for video_id, path in zip(manifest.table["video_id"], manifest.table["path"], strict=True):
        names = array_names(video_id) + array_names(video_id + Path(path).suffix)
        _inside(source, names[0])
        found[video_id] = file = first_file(source, names)
        if file is not None:
            clips_of[file].append(video_id)
    for file, video_ids in clips_of.items():
        if len(video_ids) > 1:
            raise ActionRNNError(
                f"{file} would be the features of {len(video_ids)} clips "
                f"({', '.join(video_ids[:3])}); give each its own file, such as {video_ids[0]}.npy"
            )
    return found


def export_features(store: FeatureStore, target: Path, file_format: FileFormat) -> int:
    """Write a file a clip, (V, T, D), and the spec beside them.

    Returns:
        How many clips were written; `import_features` reads them back.

    Raises:
        ActionRNNError: if a clip's name is no file name, or the folder cannot be written.
    """
    try:
        for video_id in store.video_ids:
            file = _inside(target, f"{video_id}.{file_format}")
            if file_format == "npy":
                with published(file) as temporary, open(temporary, "wb") as opened:
                    np.save(opened, store.read(video_id))
            else:
                publish_bytes(file, save({"features": store.read(video_id)}))
        publish_bytes(target / SPEC_NAME, (store.folder / SPEC_NAME).read_bytes())
    except OSError as error:
        raise ActionRNNError(unwritable(target, error)) from error
    return len(store.video_ids)


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise ActionRNNError(f"{name!r} would be a file outside of {folder}")
    return folder / name


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
