"""FeatureStore: the features of many clips, whole batches at a time; its shards are the index."""

import json
import os
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.features.shard import SUFFIX, Entry, Shard, read_shard, unwritable, write_shard
from actionrnn.features.spec import FeatureSpec

__all__ = ["Entry", "FeatureStore", "Shard", "read_shard", "write_shard"]

SPEC_NAME = "spec.json"
RAM_SHARE = 0.4  # of the memory that is free: above, features stay on disk and are mapped
DEVICE_SHARE = 0.5  # of a GPU's free memory
OPEN_MAPS = 512  # mapped shards at a time; the system allows some 65,000


class FeatureStore:
    """The features of many clips, read by whole batches.

    Only the index is read at opening. Features are held in memory from the first batch on if
    they take less than `RAM_SHARE` of what is free, and are mapped from disk otherwise.

    Args:
        folder: where the shards lie.
        spec: what the features are.
        verify: compare every checksum too, which reads every byte.

    Attributes:
        damaged: shards that could not be used, with the reason; their clips count as missing.
    """

    def __init__(self, folder: Path, spec: FeatureSpec, verify: bool = False) -> None:
        self.folder = folder
        self.spec = spec
        self.damaged: dict[Path, str] = {}
        self._shards: list[Shard] = []
        self._position: dict[str, int] = {}
        self._errors: dict[str, str] = {}
        self._maps: OrderedDict[int, NDArray[np.floating]] = OrderedDict()
        self._ram: Tensor | None = None
        self._too_large: bool | None = None  # decided at the first batch
        # By name, which is by time: what the newest shard says of a clip counts.
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                shard = read_shard(path)
                if verify:
                    shard.verify()
                self._add(shard)
            except ActionRNNError as error:
                self.damaged[path] = str(error)
        self._index()

    def _add(self, shard: Shard) -> None:
        first = self._num_positions
        ids = shard.index["video_ids"]
        for video_id in self._errors.keys() & set(ids):
            del self._errors[video_id]
        self._position.update(zip(ids, range(first, first + len(ids)), strict=True))
        self._errors |= {ids[int(k)]: error for k, error in shard.index["errors"].items()}
        self._num_positions = first + len(ids)
        self._shards.append(shard)

    _num_positions = 0

    def _index(self) -> None:
        """For every position (a clip in a shard): its length, its shard, and where it begins."""
        lengths = [np.array(shard.index["lengths"], np.int64) for shard in self._shards]
        views = [shard.index["num_views"] for shard in self._shards]
        starts = [np.cumsum(length) - length for length in lengths]
        sizes = [len(length) for length in lengths]
        base = np.cumsum([0] + [shard.num_rows for shard in self._shards])
        self._base = base
        self.lengths = torch.from_numpy(np.concatenate([*lengths, np.zeros(0, np.int64)]))
        self._shard_of = np.repeat(np.arange(len(sizes)), sizes)
        offsets = [start * v + b for start, v, b in zip(starts, views, base, strict=False)]
        self._start = torch.from_numpy(np.concatenate([*offsets, np.zeros(0, np.int64)]))
        found = {v for v, shard in zip(views, self._shards, strict=True) if shard.num_rows}
        self.num_views = found.pop() if found else self.spec.settings.num_views
        if found:
            raise ActionRNNError(f"{self.folder}: its shards differ in their number of views")
        self._sources = [np.array(shard.index["sources"], "S") for shard in self._shards]
        self._contents = [np.array(shard.index["contents"], "S") for shard in self._shards]
        for shard in self._shards:  # the rest is read again when asked for
            shard.index.clear()

    @classmethod
    def open(cls, folder: Path | str, verify: bool = False) -> "FeatureStore":
        """Open a store by its folder.

        Raises:
            ActionRNNError: if there is no store.
        """
        path = Path(folder)
        return cls(path, read_spec(path), verify)

    @classmethod
    def create(cls, root: Path, spec: FeatureSpec) -> "FeatureStore":
        """Open the store of a spec under `root`, making its folder if there is none.

        Raises:
            ActionRNNError: if it cannot be made.
        """
        folder = root / spec.fingerprint
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / SPEC_NAME).is_file():
                temporary = folder / f".{SPEC_NAME}.{uuid.uuid4().hex[:8]}.tmp"
                temporary.write_text(json.dumps(spec.to_dict(), indent=2) + "\n")
                os.replace(temporary, folder / SPEC_NAME)
        except OSError as error:
            raise ActionRNNError(unwritable(folder, error)) from error
        return cls(folder, spec)

    # ---- which clips --------------------------------------------------------------------------

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._position and video_id not in self._errors

    @property
    def video_ids(self) -> list[str]:
        """Clips that have features."""
        return [name for name in self._position if name not in self._errors]

    @property
    def failures(self) -> dict[str, str]:
        """Reason for every clip that could not be read."""
        return dict(self._errors)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All that is recorded of every clip, read from the shards again."""
        read = [read_shard(shard.path).entries for shard in self._shards]
        flat = [entry for entries in read for entry in entries]
        return {video_id: flat[position] for video_id, position in self._position.items()}

    def superseded(self) -> list[Path]:
        """Shards all of whose clips a newer shard holds."""
        used = set(self._shard_of[list(self._position.values())].tolist())
        return [shard.path for number, shard in enumerate(self._shards) if number not in used]

    @property
    def num_bytes(self) -> int:
        """Size of all features."""
        return sum(
            shard.num_rows * shard.dim * np.dtype(shard.dtype).itemsize for shard in self._shards
        )

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

    def missing(
        self, wanted: Iterable[tuple[str, str]], retry_failed: bool = False, content: bool = False
    ) -> list[str]:
        """Clips of `(video_id, source)` that the store does not hold in this state.

        Args:
            wanted: clips and what their files are now.
            retry_failed: count those that could not be read among them.
            content: the sources are SHA-256 of the content (see `Entry.content`), not states.
        """
        known = np.concatenate([*(self._contents if content else self._sources), _NO_SOURCES])
        lost = []
        for video_id, source in wanted:
            position = self._position.get(video_id)
            if (
                position is None
                or known[position] != source.encode()
                or (retry_failed and video_id in self._errors)
            ):
                lost.append(video_id)
        return lost

    # ---- reading ------------------------------------------------------------------------------

    def read(self, video_id: str) -> NDArray[np.floating]:
        """One clip's features (V, T, D) as they are stored.

        Raises:
            KeyError: if it has none.
        """
        position = self._position[video_id]
        if video_id in self._errors:
            raise KeyError(f"{video_id} has no features: {self._errors[video_id]}")
        number = int(self._shard_of[position])
        first = int(self._start[position] - self._base[number])
        rows = self._map(number)[first : first + int(self.lengths[position]) * self.num_views]
        return np.array(rows).reshape(self.num_views, -1, rows.shape[-1])

    def positions(self, video_ids: Sequence[str]) -> Tensor:
        """Where clips are, int64 (B,), to be looked up once and used by every epoch.

        Raises:
            KeyError: if one has no features.
        """
        return torch.tensor([self._position[video_id] for video_id in video_ids])

    def gather(
        self, video_ids: Sequence[str] | Tensor, view: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        """Features of many clips, padded with zeros.

        Args:
            video_ids: B clips, or their `positions`.
            view: the view of all, or of each, 0 <= view < V.

        Returns:
            float32 (B, T, D) with T the longest length, and int64 lengths (B,).
        """
        given = isinstance(video_ids, Tensor)
        positions = video_ids if given else self.positions(video_ids)  # type: ignore[arg-type]
        assert isinstance(positions, Tensor)
        lengths_B = self.lengths[positions]
        skipped_B = lengths_B * view
        if self._ram is None and not self._load():
            return self._gather_mapped(positions, skipped_B, lengths_B), lengths_B
        assert self._ram is not None
        row_BT, valid_BT = self._rows_of(positions, skipped_B, lengths_B)
        padded = not bool(valid_BT.all())
        rows = self._ram.index_select(0, row_BT.flatten().to(self._ram.device)).float()
        features_BTD = rows.view(*row_BT.shape, -1)
        if padded:
            features_BTD.masked_fill_(~valid_BT[..., None].to(rows.device), 0.0)
        return features_BTD, lengths_B

    def _rows_of(
        self, positions: Tensor, skipped_B: Tensor, lengths_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Numbers of the rows of a batch, the first one again beyond a clip's end; which are valid.

        Both have the shape (B, T) with T the longest length.
        """
        step_T = torch.arange(int(lengths_B.max()))
        valid_BT = step_T < lengths_B[:, None]
        first_B1 = (self._start[positions] + skipped_B)[:, None]
        return torch.where(valid_BT, first_B1 + step_T, first_B1), valid_BT

    def _gather_mapped(self, positions: Tensor, skipped_B: Tensor, lengths_B: Tensor) -> Tensor:
        """As from memory, one shard after the other."""
        rows, valid_BT = self._rows_of(positions, skipped_B, lengths_B)
        row_BT = rows.numpy()
        features_BTD = np.empty((*row_BT.shape, self.feature_dim), np.float32)
        shard_B = self._shard_of[positions.numpy()]
        for number in np.unique(shard_B):
            here_B = shard_B == number
            features_BTD[here_B] = self._map(int(number))[row_BT[here_B] - self._base[number]]
        features_BTD[~valid_BT.numpy()] = 0.0
        return torch.from_numpy(features_BTD)

    def _map(self, number: int) -> NDArray[np.floating]:
        """All rows of a shard, mapped; the maps used last stay open."""
        if number in self._maps:
            self._maps.move_to_end(number)
        else:
            self._maps[number] = self._shards[number].rows()
            if len(self._maps) > OPEN_MAPS:
                self._maps.popitem(last=False)
        return self._maps[number]

    def _load(self) -> bool:
        """Hold all features in memory if they fit well."""
        if self._too_large is None:
            self._too_large = self.num_bytes > RAM_SHARE * available_bytes()
        if self._too_large:
            return False
        dtype = {shard.dtype for shard in self._shards if shard.num_rows}.pop()
        ram = np.empty((int(self._base[-1]), self.feature_dim), dtype)
        for shard, first in zip(self._shards, self._base, strict=False):
            if shard.num_rows:
                ram[first : first + shard.num_rows] = shard.rows()
        self._ram = torch.from_numpy(ram)
        return True

    def hold_on(self, device: str) -> bool:
        """Keep all features on a GPU if they fit well; `gather` then gives batches there."""
        if self._ram is None and not self._load():
            return False
        assert self._ram is not None
        if self._ram.nbytes > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            return False
        self._ram = self._ram.to(device)
        return True


def read_spec(folder: Path) -> FeatureSpec:
    """The spec of the store in a folder.

    Raises:
        ActionRNNError: if there is no store, or its spec cannot be read.
    """
    try:
        return FeatureSpec.from_dict(json.loads((folder / SPEC_NAME).read_text()))
    except FileNotFoundError as error:
        raise ActionRNNError(f"{folder} is not a feature store: it has no {SPEC_NAME}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ActionRNNError(
            f"{folder / SPEC_NAME} cannot be read ({error}): the store is damaged, or of another "
            f"version; delete {folder}, and its features are extracted again"
        ) from error


_NO_SOURCES = np.zeros(0, "S1")


def available_bytes() -> int:
    """Memory that programs can still take, in bytes, as the system estimates it."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux: half of what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
