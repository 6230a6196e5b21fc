"""FeatureStore: the features of many clips, whole batches at a time; its shards are the index."""

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.errors import ActionRNNError, Unreachable
from actionrnn.features.shard import (
    Entry,
    Index,
    Shard,
    checksum,
    read_shard,
    shard_files,
    unwritable,
)
from actionrnn.features.spec import FeatureSpec
from actionrnn.files import publish_json
from actionrnn.memory import available_bytes
from actionrnn.places import is_remote, place
from actionrnn.progress import in_threads

SPEC_NAME = "spec.json"
RAM_SHARE = 0.4  # of the memory that is free: above, features stay on disk and are mapped
DEVICE_SHARE = 0.5  # of a GPU's free memory
NOT_READ = "not read this time: "  # begins the reason of a failure that was not the file's own
OPEN_MAPS = 512  # mapped shards at a time; the system allows some 65,000


class FeatureStore:
    """The features of many clips, read by whole batches.

    Only the index is read at opening; a clip's rows are compared with their checksum when they are
    first read. Features are held in memory from the first batch on if
    they take less than `RAM_SHARE` of what is free, and are mapped from disk otherwise.

    Args:
        folder: where the shards lie.
        spec: what the features are.
        verify: compare every checksum too, which reads every byte.
        files: its shards, where they were listed just now; see `shard_files`.

    Attributes:
        damaged: shards that cannot be used, with the reason; their clips count as missing.
    """

    def __init__(
        self,
        folder: Path,
        spec: FeatureSpec,
        verify: bool = False,
        files: dict[Path, int | None] | None = None,
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.damaged: dict[Path, str] = {}
        self._shards: list[Shard] = []
        self._position: dict[str, int] = {}
        self._older: dict[str, list[int]] = {}  # what else is known under the same name
        self._errors: dict[int, str] = {}
        self._maps: OrderedDict[int, NDArray[np.floating]] = OrderedDict()
        self._ram: Tensor | None = None
        self._too_large: bool | None = None  # decided at the first batch
        # By name, which is by time: what the newest shard says of a clip counts.
        files = shard_files(folder) if files is None else files
        found = []
        for path, part in zip(files, _opened(files, verify), strict=True):
            if isinstance(part, _Part):
                found.append(part)
            else:
                self.damaged[path] = part
        self._index(self._of_one_shape(found), verify)

    def _of_one_shape(self, parts: list["_Part"]) -> list["_Part"]:
        """The shards whose features are as the spec says, else as those of most clips, or none."""
        clips: Counter[tuple[int, int, str]] = Counter()
        for part in parts:
            if part.shard.num_rows:
                clips[_shape(part.shard)] += len(part.video_ids)
        wanted = (self.spec.settings.num_views, self.spec.settings.stored_dtype)
        usual = max(  # the oldest of equals
            clips, key=lambda shape: ((shape[0], shape[2]) == wanted, clips[shape]), default=None
        )
        for shard in (part.shard for part in parts):
            if shard.num_rows and _shape(shard) != usual:
                views, dim, dtype = _shape(shard)
                self.damaged[shard.path] = (
                    f"{shard.path} is not of this store: {views} views of D = {dim} in {dtype}"
                )
        return [part for part in parts if part.shard.path not in self.damaged]

    def _index(self, parts: list["_Part"], verified: bool) -> None:
        """For every position (a clip in a shard): its length, its shard, and where it begins."""
        num_positions = 0
        starts, base = [_NO_COUNTS], [0]
        for part in parts:
            for position, video_id in enumerate(part.video_ids, start=num_positions):
                if video_id in self._position:
                    self._older.setdefault(video_id, []).append(self._position[video_id])
                self._position[video_id] = position
            self._errors |= {num_positions + k: error for k, error in part.errors.items()}
            num_positions += len(part.video_ids)
            starts.append(
                (np.cumsum(part.lengths) - part.lengths) * part.shard.num_views + base[-1]
            )
            base.append(base[-1] + part.shard.num_rows)
        self._shards = shards = [part.shard for part in parts]
        self._base = np.array(base)
        self.lengths = torch.from_numpy(
            np.concatenate([_NO_COUNTS, *(part.lengths for part in parts)])
        )
        self._start = torch.from_numpy(np.concatenate(starts))
        sizes = [len(part.video_ids) for part in parts]
        self._shard_of = np.repeat(np.arange(len(sizes)), sizes)
        self._checksums = np.concatenate([_NO_COUNTS, *(part.checksums for part in parts)])
        self._intact = np.full(num_positions, verified)
        views = [shard.num_views for shard in shards if shard.num_rows]
        self.num_views = views[0] if views else self.spec.settings.num_views
        self._sources = np.concatenate([_NO_STATES, *(part.sources for part in parts)])
        self._contents = np.concatenate([_NO_STATES, *(part.contents for part in parts)])

    @classmethod
    def open(cls, folder: Path | str, verify: bool = False) -> "FeatureStore":
        """Open a store by its folder.

        Raises:
            ActionRNNError: if there is no store.
        """
        path = place(folder)
        return cls(path, read_spec(path), verify)

    @classmethod
    def create(cls, root: Path, spec: FeatureSpec) -> "FeatureStore":
        """Open the store of a spec under `root`, making its folder if there is none.

        Raises:
            ActionRNNError: if it cannot be made.
        """
        folder = root / spec.fingerprint
        try:
            if not _holds(folder, spec):
                publish_json(folder / SPEC_NAME, spec.to_dict())
        except OSError as error:
            raise ActionRNNError(unwritable(folder, error)) from error
        return cls(folder, spec)

    # ---- which clips --------------------------------------------------------------------------

    def __contains__(self, video_id: str) -> bool:
        return self._position.get(video_id, -1) not in self._errors and video_id in self._position

    @property
    def video_ids(self) -> list[str]:
        """Clips that have features."""
        return [name for name, position in self._position.items() if position not in self._errors]

    @property
    def failures(self) -> dict[str, str]:
        """Reason for every clip that could not be read."""
        found = ((name, self._errors.get(position)) for name, position in self._position.items())
        return {name: error for name, error in found if error}

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All that is recorded of every clip, read from the shards again."""
        read = [read_shard(each.path, each.num_bytes).index.entries for each in self._shards]
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
        self,
        wanted: Iterable[tuple[str, str]],
        retry_failed: bool = False,
        content: bool = False,
        retry_unread: bool = True,
    ) -> list[str]:
        """Clips of `(video_id, source)` that the store does not hold in this state.

        Where it holds several files under one name (a file that changed, or two datasets that
        keep their features in one folder), the name stands for this very file from now on.

        Args:
            wanted: clips and what their files are now.
            retry_failed: count those that could not be read among them.
            content: the sources are SHA-256 of the content (see `Entry.content`), not states.
            retry_unread: count those among them whose failure was not the file's (`NOT_READ`).
        """
        known = self._contents if content else self._sources
        lost = []
        for video_id, source in wanted:
            state = _short(source)
            position = self._position.get(video_id, -1)
            if position >= 0 and known[position] != state:
                position = self._change_to(video_id, state, known)
            error = self._errors.get(position, "")
            retry = retry_failed or (retry_unread and error.startswith(NOT_READ))
            if position < 0 or (error and retry):
                lost.append(video_id)
        return lost

    def _change_to(self, video_id: str, state: bytes, known: NDArray[np.bytes_]) -> int:
        """Let a name stand for an older row of this state; its position, -1 if there is none."""
        older = self._older.get(video_id, [])
        for position in reversed(older):
            if known[position] == state:
                older[older.index(position)] = self._position[video_id]
                self._position[video_id] = position
                return position
        return -1

    # ---- reading ------------------------------------------------------------------------------

    def read(self, video_id: str) -> NDArray[np.floating]:
        """One clip's features (V, T, D) as they are stored.

        Raises:
            KeyError: if it has none.
        """
        position = self._position[video_id]
        if position in self._errors:
            raise KeyError(f"{video_id} has no features: {self._errors[position]}")
        self._check(np.array([position]))
        rows = self._rows(position)
        return np.array(rows).reshape(self.num_views, -1, rows.shape[-1])

    def positions(self, video_ids: Sequence[str]) -> Tensor:
        """Where clips are, int64 (B,), to be looked up once and used by every epoch.

        Raises:
            KeyError: if one has no features.
        """
        return torch.tensor([self._position[video_id] for video_id in video_ids])

    def gather(
        self,
        video_ids: Sequence[str] | Tensor,
        view: int | Tensor = 0,
        stretch: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features of many clips, or of a stretch of each, padded with zeros.

        Args:
            video_ids: B clips, or their `positions`.
            view: the view of all, or of each, 0 <= view < V.
            stretch: first frame and number of frames of each, int64 (B,); None is all of it.

        Returns:
            float32 (B, T, D) with T the longest length, and int64 lengths (B,).
        """
        positions = video_ids if isinstance(video_ids, Tensor) else self.positions(video_ids)
        lengths_B = self.lengths[positions]
        skipped_B = lengths_B * view
        if stretch is not None:
            skipped_B, lengths_B = skipped_B + stretch[0], stretch[1]
        ram = self._loaded()
        if ram is None:
            return self._gather_mapped(positions, skipped_B, lengths_B), lengths_B
        row_BT, valid_BT = self._rows_of(positions, skipped_B, lengths_B)
        padded = not bool(valid_BT.all())
        rows = ram.index_select(0, row_BT.flatten().to(ram.device)).float()
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
        self._check(positions.numpy())
        rows, valid_BT = self._rows_of(positions, skipped_B, lengths_B)
        row_BT = rows.numpy()
        features_BTD = np.empty((*row_BT.shape, self.feature_dim), np.float32)
        shard_B = self._shard_of[positions.numpy()]
        for number in np.unique(shard_B):
            here_B = shard_B == number
            features_BTD[here_B] = self._map(int(number))[row_BT[here_B] - self._base[number]]
        features_BTD[~valid_BT.numpy()] = 0.0
        return torch.from_numpy(features_BTD)

    def _rows(self, position: int, ram: NDArray[np.floating] | None = None) -> NDArray[np.floating]:
        """Rows of a clip, (V * T, D), of all that were read, or mapped."""
        first, number = int(self._start[position]), int(self._shard_of[position])
        if ram is None:
            ram, first = self._map(number), first - int(self._base[number])
        return ram[first : first + int(self.lengths[position]) * self.num_views]

    def _check(self, positions: NDArray[np.int64], ram: NDArray[np.floating] | None = None) -> None:
        """Compare clips with their checksums when they are read for the first time.

        Raises:
            ActionRNNError: if one differs.
        """
        for position in positions[~self._intact[positions]]:
            if checksum(self._rows(position, ram)) != self._checksums[position]:
                raise ActionRNNError(
                    f"{self._shards[self._shard_of[position]].path} is damaged: the features of a "
                    f"clip are not those that were written. Set it aside with: actionrnn features "
                    f"verify {self.folder} --repair; then run the same command again"
                )
            self._intact[position] = True

    def _map(self, number: int) -> NDArray[np.floating]:
        """All rows of a shard, mapped; the maps used last stay open."""
        if number in self._maps:
            self._maps.move_to_end(number)
        else:
            self._maps[number] = self._shards[number].rows()
            if len(self._maps) > OPEN_MAPS:
                self._maps.popitem(last=False)
        return self._maps[number]

    def _loaded(self) -> Tensor | None:
        """All features in memory, from the first batch on; None if they do not fit well."""
        if self._too_large is None:
            self._too_large = self.num_bytes > RAM_SHARE * available_bytes()
        if self._ram is not None or self._too_large:
            return self._ram
        dtype = {shard.dtype for shard in self._shards if shard.num_rows}.pop()
        ram = np.empty((int(self._base[-1]), self.feature_dim), dtype)
        for shard, first in zip(self._shards, self._base, strict=False):
            if shard.num_rows:
                ram[first : first + shard.num_rows] = shard.rows()
        self._check(np.arange(len(self.lengths)), ram)
        self._ram = torch.from_numpy(ram)
        return self._ram

    def hold_on(self, device: str) -> bool:
        """Keep all features on a GPU if they fit well; `gather` then gives batches there."""
        ram = self._loaded()
        if ram is None or ram.nbytes > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            return False
        self._ram = ram.to(device)
        return True


class _Part(NamedTuple):
    """A shard without most texts of its index, which are read again when they are asked for."""

    shard: Shard
    video_ids: list[str]
    errors: dict[int, str]
    lengths: NDArray[np.int64]
    checksums: NDArray[np.int64]
    sources: NDArray[np.bytes_]
    contents: NDArray[np.bytes_]


def _part(shard: Shard) -> _Part:
    index = shard.index
    return _Part(
        replace(shard, index=_NO_INDEX),
        index.video_ids,
        index.errors,
        np.array(index.lengths, np.int64),
        np.array(index.checksums, np.int64),
        np.array([_short(text) for text in index.sources], _STATE),
        np.array([_short(text) for text in index.contents], _STATE),
    )


def _opened(files: dict[Path, int | None], verify: bool) -> list[_Part | str]:
    """Every shard, or what is wrong with it; those of an address side by side.

    Raises:
        Unreachable: if an address does not answer, which says nothing of a shard.
    """

    def opened(path: Path) -> _Part | str:
        try:
            shard = read_shard(path, files[path])
            if verify:
                shard.verify()
        except Unreachable:
            raise
        except ActionRNNError as error:
            return str(error)
        return _part(shard)

    if any(map(is_remote, files)):
        return in_threads(opened, list(files), "opening the shards")
    return [opened(path) for path in files]


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


def is_store(folder: Path) -> bool:
    """Whether there is a feature store in a folder."""
    return (folder / SPEC_NAME).is_file()


def _holds(folder: Path, spec: FeatureSpec) -> bool:
    """Whether a folder says that its features are these."""
    try:
        return read_spec(folder).fingerprint == spec.fingerprint
    except ActionRNNError:
        return False


def _shape(shard: Shard) -> tuple[int, int, str]:
    return shard.num_views, shard.dim, shard.dtype


def _short(text: str) -> bytes:
    """16 bytes for a text of any length; never empty, never ending in a zero, which NumPy drops."""
    return hashlib.blake2b(text.encode(), digest_size=15).digest() + b"."


_STATE = "S16"
_NO_COUNTS = np.zeros(0, np.int64)
_NO_STATES = np.zeros(0, _STATE)
_NO_INDEX = Index([], [], [], [], [], {}, {})
