"""The extraction engine: decoding beside the backbone, clip after clip, resumable at any moment."""

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected
from actionrnn.features.backbone import FrozenBackbone, weights_identity
from actionrnn.features.progress import ExtractionProgress
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import Entry, FeatureStore, write_shard
from actionrnn.video.clip import read_clip
from actionrnn.video.errors import VideoError
from actionrnn.video.isolate import ClipRequest, DecodeWorker
from actionrnn.video.reader import reader_version, resolve_reader

BATCH_SIZE = 16  # pictures per backbone batch; always full, so that a feature's bits never vary
SECONDS_PER_SHARD = 10.0  # work that a kill can cost
CLIPS_PER_SHARD = 512


def choose_device(device: str) -> str:
    """`auto` is the first GPU where there is one."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def spec_of(settings: FeatureSettings) -> FeatureSpec:
    """What the settings mean here: which decoder, which weights."""
    reader = reader_version(resolve_reader(settings.reader))
    return FeatureSpec(settings, reader, weights_identity(settings.backbone))


def source_of(path: Path) -> str:
    """State of a clip's file: size and time of change (`missing` if there is none)."""
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size}-{state.st_mtime_ns}"


def compute(backbone: FrozenBackbone, frames_VTCHW: Tensor) -> Tensor:
    """Features of a clip's pictures, float32 (V, T, D), in full batches."""
    pictures = frames_VTCHW.flatten(0, 1)
    features = torch.cat([_full_batch(backbone, part) for part in pictures.split(BATCH_SIZE)])
    return features.view(*frames_VTCHW.shape[:2], -1)


def _full_batch(backbone: FrozenBackbone, pictures: Tensor) -> Tensor:
    count = len(pictures)
    if count < BATCH_SIZE:
        filling = pictures.new_zeros(BATCH_SIZE - count, *pictures.shape[1:])
        pictures = torch.cat([pictures, filling])
    return backbone(pictures)[:count]


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
    return compute(backbone, clip.frames).to(getattr(torch, settings.dtype))


@dataclass(frozen=True)
class Clip:
    """One clip to extract."""

    video_id: str
    request: ClipRequest
    source: str


def ensure_features(
    manifest: Manifest,
    settings: FeatureSettings,
    folder: Path,
    *,
    device: str = "auto",
    num_workers: int | None = None,
    batch_size: int | None = None,
    on_bad_video: Literal["record", "raise"] = "record",
    max_bad: float = 0.2,
    progress: bool = True,
) -> FeatureStore:
    """The features of every clip of a manifest, computed where the store lacks them.

    Args:
        manifest: the clips.
        settings: what a feature is.
        folder: where stores are kept; each spec has a folder of its own in it.
        device: for the backbone.
        num_workers: decoding processes; None is one per core.
        batch_size: pictures per backbone batch.
        on_bad_video: record an unreadable clip and go on, or raise.
        max_bad: share of unreadable clips above which the data is rejected.
        progress: show progress on stderr.

    Raises:
        DataRejected: if too many clips cannot be read.
        VideoError: for the first of them, with `on_bad_video="raise"`.
    """
    spec = spec_of(settings)
    store = FeatureStore(folder / spec.fingerprint, spec)
    clips = clips_of(manifest, settings)
    missing = set(store.missing((clip.video_id, clip.source) for clip in clips))
    todo = [clip for clip in clips if clip.video_id in missing]
    if todo:
        engine = _Engine(store.folder, settings, choose_device(device), num_workers, on_bad_video)
        if progress:
            explain_missing(folder, spec, len(todo), len(clips))
        FeatureStore.create(folder, spec)
        engine.run(todo, ExtractionProgress(len(todo), enabled=progress))
        store = FeatureStore(store.folder, spec)
    check_failures(store, [clip.video_id for clip in clips], max_bad)
    return store


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
            f"{source_of(path)}@{_seconds(start)}-{_seconds(end)}",
        )
        for video_id, start, end, path in rows
    ]


def _seconds(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def explain_missing(folder: Path, spec: FeatureSpec, missing: int, total: int) -> None:
    """Say what is computed, and how it differs from the nearest features that are there."""
    print(f"features: {missing} of {total} clips to extract into {folder}", file=sys.stderr)
    if missing < total:
        return
    others = [FeatureStore.open(path.parent).spec for path in folder.glob("*/spec.json")]
    differences = [other.difference(spec) for other in others if other != spec]
    if differences:
        nearest = min(differences, key=len)
        print("  the features that are there differ in " + "; ".join(nearest), file=sys.stderr)


def check_failures(store: FeatureStore, video_ids: list[str], max_bad: float) -> None:
    """Say how many clips are unreadable; refuse data with too many.

    Raises:
        DataRejected: naming the first of them.
    """
    failures = {name: store.failures[name] for name in video_ids if name in store.failures}
    if not failures:
        return
    first = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
    text = f"{len(failures)} of {len(video_ids)} clips could not be read ({first})"
    if len(failures) > max_bad * len(video_ids):
        raise DataRejected(
            f"{text}. More than {max_bad:.0%}: check the paths and files, or raise "
            f"--extraction.max_bad"
        )
    print(f"warning: {text}; they count as wrong", file=sys.stderr)


Extracted = tuple[Entry, NDArray[np.floating] | None]


class _Engine:
    """One thread more than cores, each with a decoding process: while one waits, others compute.

    Each computes with a single thread of its own. Splitting every operation over all cores
    instead makes each wait for the slowest core, which the decoders keep busy: measured on two
    cores, 31 frames/s against some 500.
    """

    def __init__(
        self,
        folder: Path,
        settings: FeatureSettings,
        device: str,
        num_workers: int | None,
        on_bad_video: Literal["record", "raise"],
    ) -> None:
        self.folder = folder
        self.settings = settings
        cores = torch.get_num_threads()
        self.num_workers = num_workers or cores + 1
        self.on_bad_video = on_bad_video
        self.backbone = FrozenBackbone(settings.backbone, device)
        self._computing = threading.Semaphore(1 if device.startswith("cuda") else cores)
        self._own = threading.local()
        self._decoders: list[DecodeWorker] = []

    def run(self, clips: list[Clip], progress: ExtractionProgress) -> None:
        """Extract clips, publishing shards as it goes; what is done stays, whatever happens."""
        done: list[Extracted] = []
        published = time.monotonic()
        try:
            with progress:
                for extracted in self._extracted(clips, progress):
                    done.append(extracted)
                    progress.advance(extracted[0])
                    due = time.monotonic() - published > SECONDS_PER_SHARD
                    if due or len(done) >= CLIPS_PER_SHARD:
                        write_shard(self.folder, done)
                        done, published = [], time.monotonic()
        finally:
            if done:
                write_shard(self.folder, done)

    def _extracted(self, clips: list[Clip], progress: ExtractionProgress) -> Iterator[Extracted]:
        """Extracted clips in order, a bounded number ahead of the one that is yielded."""
        ahead: deque[Future[Extracted]] = deque()
        waiting = iter(clips)
        pool = ThreadPoolExecutor(
            self.num_workers, initializer=torch.set_num_threads, initargs=(1,)
        )
        try:
            for _, clip in zip(range(2 * self.num_workers), waiting, strict=False):
                ahead.append(pool.submit(self._extract, clip, progress))
            while ahead:
                extracted = ahead.popleft().result()
                for clip in itertools.islice(waiting, 1):
                    ahead.append(pool.submit(self._extract, clip, progress))
                yield extracted
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for decoder in self._decoders:
                decoder.close()
            pool.shutdown(wait=True)

    def _extract(self, clip: Clip, progress: ExtractionProgress) -> Extracted:
        try:
            with progress.timing("decoding"):
                frames = self._decoder().ask(clip.request).frames
        except VideoError as error:
            if self.on_bad_video == "raise":
                raise
            return Entry(clip.video_id, clip.source, error=str(error)), None
        with self._computing, progress.timing("the backbone"):
            features = compute(self.backbone, frames)
        if not bool(features.isfinite().all()):
            raise ActionRNNError(f"{clip.request.path}: the backbone gave features not finite")
        array = features.numpy().astype(self.settings.dtype)
        return Entry(clip.video_id, clip.source, array.shape[1]), array

    def _decoder(self) -> DecodeWorker:
        if not hasattr(self._own, "decoder"):
            self._own.decoder = DecodeWorker()
            self._decoders.append(self._own.decoder)
        decoder: DecodeWorker = self._own.decoder
        return decoder
