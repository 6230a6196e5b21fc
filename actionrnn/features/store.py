"""FeatureStore: immutable shards, published whole or not at all; the shards are the index."""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.features.spec import FeatureSpec

SPEC_NAME = "spec.json"
RAM_SHARE = 0.4  # of the memory that is free: above, features stay on disk and are mapped


@dataclass(frozen=True)
class Entry:
    """One clip's features, or the reason why there are none.

    Attributes:
        video_id: the clip.
        source: what the file was when it was read (`size-mtime_ns`); another means: read again.
        num_frames: T, 0 for a failure.
        error: why the clip could not be read, empty if it could.
        warnings: what was odd about it.
    """

    video_id: str
    source: str
    num_frames: int = 0
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """An opened shard: its entries, and where its rows lie in the file."""

    path: Path
    entries: list[Entry]
    data_offset: int
    num_rows: int
    dim: int
    dtype: str
    sha256: str

    def rows(self) -> NDArray[np.floating]:
        """All rows, memory-mapped, (num_rows, D)."""
        shape = (self.num_rows, self.dim)
        if self.num_rows == 0:
            return np.zeros(shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.data_offset, shape)

    def verify(self) -> None:
        """Compare the checksum.

        Raises:
            ActionRNNError: if a byte differs.
        """
        found = hashlib.sha256(np.ascontiguousarray(self.rows()).tobytes()).hexdigest()
        if found != self.sha256:
            raise ActionRNNError(f"{self.path} is damaged: its checksum differs")


def write_shard(folder: Path, clips: Sequence[tuple[Entry, NDArray[np.floating] | None]]) -> Path:
    """Publish the features of some clips: temporary file in the same folder, sync, rename.

    Args:
        folder: the store.
        clips: each entry with its features (V, T, D), or None for a failure.
    """
    arrays = [array.reshape(-1, array.shape[-1]) for _, array in clips if array is not None]
    rows = np.concatenate(arrays) if arrays else np.zeros((0, 1), np.float32)
    rows = np.ascontiguousarray(rows)
    about = {
        "entries": json.dumps([asdict(entry) for entry, _ in clips]),
        "sha256": hashlib.sha256(rows.tobytes()).hexdigest(),
    }
    # In the order of their names the newest comes last, and what it says of a clip counts.
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.safetensors"
    temporary, target = folder / f".{name}.tmp", folder / name
    try:
        with open(temporary, "wb") as file:
            file.write(save({"rows": rows}, about))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def read_shard(path: Path) -> Shard:
    """Read a shard's header; safetensors keeps it in front, as JSON with its length.

    Raises:
        ActionRNNError: if the file is no shard, or shorter than its header says.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("the header is cut off")
            header = json.loads(file.read(length))
        rows, about = header["rows"], header["__metadata__"]
        entries = [
            Entry(**{**entry, "warnings": tuple(entry["warnings"])})
            for entry in json.loads(about["entries"])
        ]
        offset = 8 + length + rows["data_offsets"][0]
        if path.stat().st_size < 8 + length + rows["data_offsets"][1]:
            raise ValueError("the file is cut off")
        dtype = {"F32": "float32", "F16": "float16"}[rows["dtype"]]
        num_rows, dim = rows["shape"]
        return Shard(path, entries, offset, num_rows, dim, dtype, about["sha256"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ActionRNNError(f"{path} is not a whole feature shard ({error})") from error


class FeatureStore:
    """The features of many clips, read by whole batches.

    Attributes:
        folder: where the shards lie.
        spec: what the features are.
        damaged: shards that could not be used, with the reason; their clips count as missing.
    """

    def __init__(self, folder: Path, spec: FeatureSpec) -> None:
        self.folder = folder
        self.spec = spec
        self.num_views = spec.settings.num_views
        self.damaged: dict[Path, str] = {}
        self.entries: dict[str, Entry] = {}
        self._place: dict[str, tuple[int, int]] = {}
        self._shards: list[Shard] = []
        for path in sorted(folder.glob("*.safetensors")):
            try:
                self._add(read_shard(path))
            except ActionRNNError as error:
                self.damaged[path] = str(error)
        self._ram: Tensor | None = None
        self._ram_start: list[int] = []

    def _add(self, shard: Shard) -> None:
        number, row = len(self._shards), 0
        self._shards.append(shard)
        for entry in shard.entries:
            self.entries[entry.video_id] = entry
            self._place[entry.video_id] = (number, row)
            row += entry.num_frames * self.num_views

    @classmethod
    def open(cls, folder: Path | str) -> "FeatureStore":
        """Open a store by its folder.

        Raises:
            ActionRNNError: if there is no store.
        """
        path = Path(folder)
        if not (path / SPEC_NAME).is_file():
            raise ActionRNNError(f"{path} is not a feature store: it has no {SPEC_NAME}")
        return cls(path, FeatureSpec.from_dict(json.loads((path / SPEC_NAME).read_text())))

    @classmethod
    def create(cls, root: Path, spec: FeatureSpec) -> "FeatureStore":
        """Open the store of a spec under `root`, making its folder if there is none."""
        folder = root / spec.fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / SPEC_NAME).is_file():
            temporary = folder / f".{SPEC_NAME}.{uuid.uuid4().hex}"
            temporary.write_text(json.dumps(spec.to_dict(), indent=2) + "\n")
            os.replace(temporary, folder / SPEC_NAME)
        return cls(folder, spec)

    def __contains__(self, video_id: str) -> bool:
        entry = self.entries.get(video_id)
        return entry is not None and not entry.error

    @property
    def video_ids(self) -> list[str]:
        """Clips that have features."""
        return [name for name, entry in self.entries.items() if not entry.error]

    @property
    def failures(self) -> dict[str, str]:
        """Reason for every clip that could not be read."""
        return {name: entry.error for name, entry in self.entries.items() if entry.error}

    @property
    def feature_dim(self) -> int:
        """D.

        Raises:
            ActionRNNError: if the store holds no features.
        """
        for shard in self._shards:
            if shard.num_rows:
                return shard.dim
        raise ActionRNNError(f"{self.folder} holds no features")

    def read(self, video_id: str) -> NDArray[np.floating]:
        """One clip's features (V, T, D).

        Raises:
            KeyError: if it has none.
        """
        number, row = self._place[video_id]
        count = self.entries[video_id].num_frames * self.num_views
        rows = self._shards[number].rows()[row : row + count]
        return np.array(rows).reshape(self.num_views, -1, rows.shape[-1])

    def gather(self, video_ids: Sequence[str], view: int | Tensor = 0) -> tuple[Tensor, Tensor]:
        """Features of many clips, padded with zeros.

        Args:
            video_ids: B clips.
            view: the view of all, or of each, 0 <= view < V.

        Returns:
            float32 (B, T, D) with T the longest length, and int64 lengths (B,).
        """
        self._load()
        lengths_B = torch.tensor([self.entries[name].num_frames for name in video_ids])
        starts = [self._ram_start[self._place[n][0]] + self._place[n][1] for n in video_ids]
        first_B = torch.tensor(starts) + lengths_B * view
        step_T = torch.arange(int(lengths_B.max()))
        valid_BT = step_T < lengths_B[:, None]
        row_BT = torch.where(valid_BT, first_B[:, None] + step_T, 0)
        assert self._ram is not None
        features_BTD = self._ram[row_BT].float()
        return features_BTD.masked_fill_(~valid_BT[..., None], 0.0), lengths_B

    def _load(self) -> None:
        if self._ram is None:
            starts = np.cumsum([0] + [shard.num_rows for shard in self._shards])
            self._ram_start = starts.tolist()
            arrays = [shard.rows() for shard in self._shards if shard.num_rows]
            self._ram = torch.from_numpy(np.concatenate(arrays))

    def missing(self, wanted: Iterable[tuple[str, str]]) -> list[str]:
        """Clips of `(video_id, source)` that the store does not hold in this state."""
        return [
            name
            for name, source in wanted
            if name not in self.entries or self.entries[name].source != source
        ]
