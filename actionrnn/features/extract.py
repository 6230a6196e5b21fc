"""The features of every clip, computed where they are missing; resumable at any moment."""

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected, Unreachable
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import Clip, clips_of, content_of, refuse_foreign
from actionrnn.features.engine import DecoderPool, Engine, Extracted, OnBadVideo
from actionrnn.features.machine import choose_device, num_cores
from actionrnn.features.native_size import with_native_size
from actionrnn.features.progress import ExtractionProgress, is_cut
from actionrnn.features.ray_engine import RayEngine, device_of_cluster, ray_cluster
from actionrnn.features.resolve import resolved, settings_of, spec_of
from actionrnn.features.shard import shard_files, unwritable, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec, is_imported
from actionrnn.features.store import FeatureStore, read_spec
from actionrnn.features.weights import preprocessing_of
from actionrnn.files import publish_text
from actionrnn.places import is_remote
from actionrnn.progress import tell
from actionrnn.video.decode import read_clip
from actionrnn.video.sampling import Sampling

SECONDS_PER_SHARD = 10.0  # work that a kill can cost
CLIPS_PER_SHARD = 1024
# Stores up to this size are checked byte by byte at every use (about 1.5 s), and what is damaged
# is made again; the clips of larger ones are checked as they are read.
VERIFY_BYTES = 2**30
FAILURES_NAME = "failures.csv"
EngineName = Literal["local", "ray"]


def compute(backbone: FrozenBackbone, frames_VTCHW: Tensor) -> Tensor:
    """Features of a clip's pictures, float32 (V, T, D)."""
    return backbone(frames_VTCHW.flatten(0, 1)).view(*frames_VTCHW.shape[:2], -1)


def stored_features(
    backbone: FrozenBackbone, frames_VTCHW: Tensor, settings: FeatureSettings
) -> Tensor:
    """The same in the store's dtype, as `ensure_features` keeps them."""
    return compute(backbone, frames_VTCHW).to(getattr(torch, settings.stored_dtype))


def extract_clip(
    path: Path,
    settings: FeatureSettings,
    backbone: FrozenBackbone,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Tensor:
    """Features (V, T, D) of one file, in the store's dtype, as `ensure_features` computes them.

    Raises:
        VideoError: if it cannot be read.
    """
    clip = read_clip(
        path, settings.sampling, settings.transform, settings.reader, start_seconds, end_seconds
    )
    tell_cut(is_cut(clip.warnings), 1, settings.sampling)
    return stored_features(backbone, clip.frames, settings)


def ensure_features(
    manifest: Manifest,
    settings: FeatureSettings,
    folder: Path,
    *,
    device: str = "auto",
    num_workers: int | None = None,
    batch_size: int | None = None,
    on_bad_video: OnBadVideo = "record",
    max_bad: float = 0.2,
    progress: bool = True,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    check_content: bool = False,
    retry_unread: bool = True,
    check_spec: Callable[[FeatureSpec], None] | None = None,
    engine: EngineName = "local",
) -> FeatureStore:
    """The features of every clip of a manifest, computed where the store lacks them.

    Args:
        manifest: the clips.
        settings: what a feature is.
        folder: where stores are kept; each spec has a folder of its own in it.
        device: for the backbone.
        num_workers: decoding processes; None is one per core.
        batch_size: pictures per backbone batch; None chooses by device.
        on_bad_video: record an unreadable clip and go on, or raise.
        max_bad: share of unreadable clips above which the data is rejected.
        progress: show progress on stderr.
        shard: `(i, n)` extracts every n-th clip from the i-th on; the others do the rest.
        retry_failed: try clips again that could not be read before.
        check_content: tell changed files by their content, not by size and time of change.
        retry_unread: try clips again whose decoder died before.
        check_spec: raises if these are not the wanted features; called before work begins.
        engine: what decodes and computes: this machine, or a Ray cluster (see `ray_engine`),
            for which `num_workers` is None: one per core of it.

    Raises:
        DataRejected: if too many clips cannot be read.
        VideoError: for the first of them, with `on_bad_video="raise"`.
        ActionRNNError: if the backbone cannot be had, or the folder cannot be written.
    """
    with ExitStack() as stack:
        ray = stack.enter_context(ray_cluster()) if engine == "ray" else None
        chosen = choose_device(device) if ray is None else device_of_cluster(ray, device)
        settings = resolved(with_native_size(settings, manifest))
        all_clips = clips_of(manifest, settings)
        clips = all_clips[shard[0] :: shard[1]] if shard else all_clips
        decoders = None
        decodes_here = ray is None and not is_imported(settings.backbone.name)
        if decodes_here and clips and check_spec is None and not folder.is_dir():
            # All are lacking, whatever the spec will be, which takes a second.
            decoders = stack.enter_context(closing(decoding(clips, num_workers)))
        spec = spec_of(settings, chosen, all_clips, folder)
        if check_spec is not None:
            check_spec(spec)
        store = open_checked(folder / spec.fingerprint, spec)
        if is_imported(settings.backbone.name):
            require_imported(store, manifest)
            check_failures(store, [clip.video_id for clip in clips], max_bad)
            return store
        wanted = [(c.video_id, content_of(c) if check_content else c.source) for c in clips]
        lost = set(store.missing(wanted, retry_failed, check_content, retry_unread))
        todo = [clip for clip in clips if clip.video_id in lost]
        if todo:
            if progress:
                explain_missing(folder, spec, len(todo), len(clips))
            running: Engine | RayEngine
            if ray is None:
                if decoders is None:
                    decoders = stack.enter_context(closing(decoding(todo, num_workers)))
                meant = settings_of(spec)
                backbone = FrozenBackbone(
                    meant.backbone, chosen, meant.runtime, batch_size, meant.transform.side
                )
                stack.enter_context(closing(backbone))
                running = Engine(backbone, decoders, meant.stored_dtype, on_bad_video)
            else:
                running = RayEngine(ray, spec, chosen, num_workers, batch_size, on_bad_video)
            FeatureStore.create(folder, spec)
            shown = ExtractionProgress(len(todo), running.stages, progress, shard)
            about = f"{spec.settings.runtime} {torch.__version__} on {chosen}"
            publish(store.folder, running.run(todo), shown, about)
            tell_cut(shown.cut, len(todo), settings.sampling)
            stack.close()
            store = FeatureStore(store.folder, spec)
            store.missing(wanted, content=check_content)  # each name stands for these files
        check_failures(store, [clip.video_id for clip in clips], max_bad)
        return store


def decoding(clips: Sequence[Clip], num_workers: int | None) -> DecoderPool:
    """Decoders that are at work on the first clips."""
    decoders = DecoderPool(min(num_workers or num_cores(), len(clips)))
    decoders.begin(clips)
    return decoders


def open_checked(folder: Path, spec: FeatureSpec) -> FeatureStore:
    """Open a store, byte by byte if it is small, and say which shards are damaged."""
    files = shard_files(folder)
    if is_remote(folder):
        size = sum(num_bytes or 0 for num_bytes in files.values())
    else:
        size = sum(path.stat().st_size for path in files if path.is_file())
    store = FeatureStore(folder, spec, size <= VERIFY_BYTES, files)
    for reason in store.damaged.values():
        tell(f"warning: {reason}; its clips are extracted again")
    return store


def require_imported(store: FeatureStore, manifest: Manifest) -> None:
    """Imported features cannot be extracted: every clip must have been brought in.

    Raises:
        ActionRNNError: naming the first clips without features, and how to bring them in.
    """
    refuse_foreign(store.folder, store.entries, manifest)
    missing = [name for name in manifest.table["video_id"] if name not in store.entries]
    if missing:
        raise ActionRNNError(
            f"{store.folder} lacks {len(missing)} clips ({', '.join(missing[:3])}, ...) of "
            f"imported features {store.spec.settings.backbone.name}; bring them in with: "
            f"actionrnn features import"
        )


def publish(
    folder: Path, extracted: Iterable[Extracted], progress: ExtractionProgress, about: str
) -> None:
    """Write shards of what is extracted as it comes; what is done stays, whatever happens."""
    done: list[Extracted] = []
    published = time.monotonic()
    with progress:
        try:
            for entry, array in extracted:
                done.append((entry, array))
                progress.advance(entry, 0 if array is None else len(array))
                due = time.monotonic() - published > SECONDS_PER_SHARD
                if due or len(done) >= CLIPS_PER_SHARD:
                    write_shard(folder, done, about)
                    done, published = [], time.monotonic()
        finally:
            if done:
                write_shard(folder, done, about)


def tell_cut(count: int, total: int, sampling: Sampling) -> None:
    """Say of how many clips the end is not seen, if of any, and what shows it."""
    if count:
        reach = sampling.num_frames / sampling.fps
        tell(
            f"warning: the end of {count} of {total} clips is not seen: {sampling.num_frames} "
            f"frames at {sampling.fps:g} fps are the first {reach:g} s; raise "
            f"--features.sampling.num_frames"
        )


def explain_missing(folder: Path, spec: FeatureSpec, missing: int, total: int) -> None:
    """Say what is computed, and how it differs from the nearest features that are there."""
    by = f" by {spec.runtime}" if spec.runtime else ""
    tell(f"features: {missing} of {total} clips to extract into {folder}{by}")
    backbone = spec.settings.backbone
    trained_on = preprocessing_of(backbone).size
    if backbone.weights != "random" and trained_on != spec.settings.transform.size:
        tell(
            f"  note: the weights were trained on {trained_on} px pictures, these are "
            f"{spec.settings.transform.size} px (--features.transform.size)"
        )
    if missing < total:
        return
    differences = []
    for path in folder.glob("*/spec.json"):
        try:
            other = read_spec(path.parent)
        except ActionRNNError as error:
            tell(f"  note: {error}")
        else:
            differences += [other.difference(spec)] if other != spec else []
    if differences:
        nearest = min(differences, key=len)
        tell("  the features that are there differ in " + "; ".join(nearest))


def check_failures(store: FeatureStore, video_ids: list[str], max_bad: float) -> None:
    """Say how many clips are unreadable, and where they are listed; refuse too many.

    Raises:
        DataRejected: naming the first of them.
    """
    known = store.failures
    failures = {name: known[name] for name in video_ids if name in known}
    if not failures:
        return
    first = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
    text = f"{len(failures)} of {len(video_ids)} clips could not be read ({first})"
    text += f"; all are listed in {_list_failures(store.folder, known)}"
    if len(failures) > max_bad * len(video_ids):
        raise DataRejected(
            f"{text}. More than {max_bad:.0%}: check the paths and files, or raise "
            f"--extraction.max_bad"
        )
    tell(f"warning: {text}; they count as wrong")


def _list_failures(folder: Path, failures: dict[str, str]) -> Path:
    """Write the list for people (the store itself holds it in its shards), if it is not there."""
    target = folder / FAILURES_NAME
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("video_id", "error"), *sorted(failures.items())])
    try:
        publish_text(target, text.getvalue())
    except (OSError, Unreachable) as error:
        if not target.exists():
            if isinstance(error, Unreachable):
                raise
            raise ActionRNNError(unwritable(folder, error)) from error
    return target
