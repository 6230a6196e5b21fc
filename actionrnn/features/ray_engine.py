"""The engine on a Ray cluster (extra `ray`): decoders and backbones are pools of actors.

Ray Data hands out the clips in small blocks, holds decoders back where backbones cannot follow,
and gives the blocks of a worker that is lost to others. The features come back to this process,
and go to the writer of shards as those of `engine.Engine` do; they are the same, bit for bit,
where the machines are alike.
"""

import logging
import os
import pickle
import platform
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError, UsageError, condensed
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import Clip
from actionrnn.features.engine import DecoderPool, Extracted, OnBadVideo, extracted, not_extracted
from actionrnn.features.machine import Busy
from actionrnn.features.resolve import readers_of, settings_of
from actionrnn.features.spec import FeatureSpec
from actionrnn.process import silence_reports
from actionrnn.version import __version__
from actionrnn.video.decode import ClipFrames
from actionrnn.video.errors import VideoError
from actionrnn.video.isolate import DecoderDied

if TYPE_CHECKING:
    import pyarrow

CLIPS_PER_BLOCK = 4  # the most that a lost worker costs, and that wait for a slow one
CORES_AN_ACTOR = 0.5  # decoders and backbones share all cores: which of them waits, varies
_COLUMN = "pickled"
# No notes of its own on stderr, no change to which GPUs are seen, and of
# a cluster that is started here, workers that do not give way to all other programs.
_SETTINGS = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}

# What an actor cannot do comes as a row too: Ray loses the cause of what is raised there.
Decoded = tuple[Clip, ClipFrames | VideoError, str] | ActionRNNError
Computed = Extracted | tuple[Clip, VideoError, str] | ActionRNNError


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """The package `ray`, connected: to the cluster of `RAY_ADDRESS`, or to one on this machine.

    Raises:
        ActionRNNError: if it is not installed, or the cluster does not answer.
    """
    silence_reports()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ActionRNNError(
            "--engine ray: it is missing: pip install 'actionrnn[ray]' (on every node)"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        host, _, port = address.rpartition(":")
        if port.isdigit():  # it would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
    except Exception as error:
        where = f"the cluster at RAY_ADDRESS {address}" if address else "a cluster here"
        raise ActionRNNError(
            f"--engine ray: {where} did not start or answer ({condensed(str(error))})"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def device_of_cluster(ray: Any, device: str) -> str:
    """`auto` is a GPU where a node of the cluster has one.

    Raises:
        UsageError: for a GPU that no node has.
    """
    num_gpus = ray.cluster_resources().get("GPU", 0)
    if device == "auto":
        return "cuda" if num_gpus else "cpu"
    if device != "cpu" and not num_gpus:
        raise UsageError(f"--device {device}: no node of the Ray cluster has a GPU")
    return device


@dataclass(frozen=True)
class RayEngine:
    """Clips in, features out, in the order in which they get ready; see `engine.Engine`.

    A clip whose decoder dies is decoded once more, by a fresh process.

    Args:
        ray: see `ray_cluster`.
        spec: of the features.
        device: of every backbone: `cpu`, or `cuda`, where each has a GPU of its own.
        num_workers: decoders at most; None is one per core of the cluster.
        batch_size, on_bad_video: see `FrozenBackbone` and `engine.Engine`.

    Attributes:
        stages: none of its threads are in this process.
    """

    ray: Any
    spec: FeatureSpec
    device: str
    num_workers: int | None
    batch_size: int | None
    on_bad_video: OnBadVideo
    stages: ClassVar[Mapping[str, Busy]] = {}

    def run(self, clips: Sequence[Clip]) -> Iterator[Extracted]:
        """Extract clips, however many.

        Raises:
            VideoError: for the first unreadable clip, with `on_bad_video="raise"`.
            ActionRNNError: if a node cannot compute these features, or the cluster is lost.
        """
        resources = self.ray.cluster_resources()
        num_cores, num_gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        num_workers = self.num_workers or num_cores
        on_gpu = self.device != "cpu"
        versions = node_versions(self.spec.settings.reader)
        blocks = _blocks(clips, max(num_workers, num_cores))
        self.ray.data.DataContext.get_current().enable_progress_bars = False
        dataset = self.ray.data.from_arrow(blocks)
        dataset = dataset.map_batches(
            _Decoder,
            fn_constructor_args=(os.getcwd(), versions, self.spec.settings.reader),
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=CORES_AN_ACTOR,
            compute=self.ray.data.ActorPoolStrategy(min_size=1, max_size=num_workers),
        )
        dataset = dataset.map_batches(
            _Backbone,
            fn_constructor_args=(os.getcwd(), self.spec, self.device, self.batch_size),
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=CORES_AN_ACTOR,
            num_gpus=1 if on_gpu else 0,
            compute=self.ray.data.ActorPoolStrategy(
                min_size=1, max_size=max(1, num_gpus if on_gpu else num_cores)
            ),
        )
        try:
            for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                for computed in _rows(table):
                    yield self._extracted(computed)
        except self.ray.exceptions.RayError as error:
            raise ActionRNNError(
                f"the Ray cluster gave up: {condensed(str(error))}; what is done is kept"
            ) from error

    def _extracted(self, computed: Computed) -> Extracted:
        if isinstance(computed, ActionRNNError):
            raise computed
        if len(computed) == 3:
            return not_extracted(*computed, self.on_bad_video)
        return computed


class _Decoder:
    """An actor that decodes; its decoder is a process of its own, as everywhere."""

    def __init__(self, folder: str, versions: dict[str, str], reader: str) -> None:
        self._about = (folder, versions, reader)
        self._pool: DecoderPool | None = None

    def __call__(self, table: "pyarrow.Table") -> Iterator["pyarrow.Table"]:
        try:
            if self._pool is None:
                folder, versions, reader = self._about
                enter_folder(folder)
                check_versions(versions, node_versions(reader))
                self._pool = DecoderPool(1)
        except ActionRNNError as error:
            yield _table([error])
            return
        for clip in _rows(table):
            yield _table([(clip, *self._decoded(self._pool, clip))])

    @staticmethod
    def _decoded(pool: DecoderPool, clip: Clip) -> tuple[ClipFrames | VideoError, str]:
        frames, content = pool.submit(clip).result()
        if isinstance(frames, DecoderDied):
            frames, content = pool.decode_alone(clip)
        return frames, content


class _Backbone:
    """An actor that computes; on a CPU with one thread, as the cluster has one for each core."""

    def __init__(self, folder: str, spec: FeatureSpec, device: str, batch_size: int | None) -> None:
        self._about = (folder, spec, device, batch_size)
        self._backbone: FrozenBackbone | None = None
        self._dtype = spec.settings.stored_dtype

    def __call__(self, table: "pyarrow.Table") -> "pyarrow.Table":
        rows: list[Decoded] = list(_rows(table))
        try:
            return _table(self._computed(rows))
        except ActionRNNError as error:
            return _table([error])

    def _computed(self, rows: list[Decoded]) -> list[Computed]:
        backbone = self._made()
        decoded = [row for row in rows if not isinstance(row, ActionRNNError)]
        read = [frames.frames for _, frames, _ in decoded if isinstance(frames, ClipFrames)]
        features = iter(_features(backbone, read))
        computed: list[Computed] = [row for row in rows if isinstance(row, ActionRNNError)]
        computed += [
            extracted(clip, frames.warnings, content, next(features), self._dtype)
            if isinstance(frames, ClipFrames)
            else (clip, frames, content)
            for clip, frames, content in decoded
        ]
        return computed

    def _made(self) -> FrozenBackbone:
        if self._backbone is None:
            folder, spec, device, batch_size = self._about
            enter_folder(folder)
            settings = settings_of(spec)
            try:
                self._backbone = FrozenBackbone(
                    settings.backbone, device, settings.runtime, batch_size,
                    settings.transform.side, num_threads=1 if device == "cpu" else None,
                )  # fmt: skip
            except ActionRNNError as error:
                raise ActionRNNError(f"node {platform.node()}: {error}") from error
        return self._backbone


def _features(backbone: FrozenBackbone, clips_VTCHW: list[Tensor]) -> list[Tensor]:
    """Features (V, T, D) of every clip, in batches across clips."""
    if not clips_VTCHW:
        return []
    pictures = torch.cat([frames.flatten(0, 1) for frames in clips_VTCHW])
    parts = backbone(pictures).split([frames.shape[0] * frames.shape[1] for frames in clips_VTCHW])
    return [
        part.view(*frames.shape[:2], -1) for part, frames in zip(parts, clips_VTCHW, strict=True)
    ]


# ---- nodes ------------------------------------------------------------------------------------


def node_versions(reader: str) -> dict[str, str]:
    """What makes features and must be the same on every node, with its version."""
    return {
        "actionrnn": __version__,
        "torch": torch.__version__,
        "decoders": readers_of([], reader),
    }


def check_versions(wanted: dict[str, str], found: dict[str, str]) -> None:
    """Refuse a node that would make other features.

    Raises:
        ActionRNNError: naming the node, and what is another version there.
    """
    for name, version in wanted.items():
        if found[name] != version:
            raise ActionRNNError(
                f"node {platform.node()} has {name} {found[name]}, this machine {version}: "
                f"features would differ; install the same versions on every node"
            )


def enter_folder(folder: str) -> None:
    """Go where the command was started, so that its relative paths mean the same.

    Raises:
        ActionRNNError: if the node has no such folder.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise ActionRNNError(
            f"node {platform.node()} has no folder {folder} ({error.strerror}): start the command "
            f"in a folder that all nodes share, with data that they share or on object storage"
        ) from error


# ---- rows -------------------------------------------------------------------------------------


def _blocks(clips: Sequence[Clip], num_workers: int) -> list["pyarrow.Table"]:
    """Blocks of at most `CLIPS_PER_BLOCK`, and some for every worker."""
    size = min(CLIPS_PER_BLOCK, max(1, len(clips) // (4 * num_workers)))
    return [_table(clips[start : start + size]) for start in range(0, len(clips), size)]


def _table(rows: Iterable[Any]) -> "pyarrow.Table":
    import pyarrow

    pickled = [pickle.dumps(row, pickle.HIGHEST_PROTOCOL) for row in rows]
    return pyarrow.table({_COLUMN: pyarrow.array(pickled, pyarrow.large_binary())})


def _rows(table: "pyarrow.Table") -> Iterator[Any]:
    for row in table[_COLUMN]:
        yield pickle.loads(row.as_buffer())
