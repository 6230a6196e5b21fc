"""ActionDataModule: a manifest and a feature store become batches for the Trainer."""

import dataclasses
import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from actionrnn.datasets.content_hash import CONTENT, with_content
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected
from actionrnn.features.extract import ensure_features
from actionrnn.features.int8 import RUNTIME
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.training.batches import BatchOrder, FeatureLoader, Reduce

Subset = Literal["train", "val", "test", "unused", "all"]


def expand_path(path: str) -> Path:
    """A path with `~` and known environment variables filled in; any other `$` is a character.

    `$ACTIONRNN_DATA` is `data` if unset.
    """
    variables = {"ACTIONRNN_DATA": "data", **os.environ}

    def filled(found: re.Match[str]) -> str:
        return variables.get(found[1] or found[2], found[0])

    return Path(re.sub(r"\$(?:(\w+)|\{(\w+)\})", filled, path)).expanduser()


def stable_hashes(names: list[str]) -> Tensor:
    """A 63-bit hash of every name, int64 (N,), the same on every machine."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests]).long()


@dataclass(frozen=True)
class ExtractionSettings:
    """How missing features are computed; none of it changes the features.

    Args:
        device: `auto` takes a GPU where there is one.
        num_workers: decoding processes; null chooses from the number of cores.
        batch_size: frames per backbone batch; null chooses from the device.
        on_bad_video: `record` an unreadable clip and go on (it is scored wrong), or `raise`.
        max_bad: share of unreadable clips above which the data is rejected, 0 to 1.
        check_content: tell changed files by a hash of their content, not by size and time.
        retry_failed: try clips again that could not be read before, though unchanged.
    """

    device: str = "auto"
    num_workers: int | None = None
    batch_size: int | None = None
    on_bad_video: Literal["record", "raise"] = "record"
    max_bad: float = 0.2
    check_content: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (
            ("num_workers", self.num_workers, 1),
            ("batch_size", self.batch_size, 1),
            ("max_bad", self.max_bad, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"--extraction.{name} {value}: must be at least {least}")


class ActionDataModule(pl.LightningDataModule):
    """Clips of a manifest as frozen features, extracted first where they are missing.

    Args:
        root: prepared dataset: the folder with manifest.csv and classes.txt. Environment
            variables are expanded; `$ACTIONRNN_DATA` is `data` where it is not set.
        split: manifest column that says train, val, test or unused for each clip.
        features_dir: where feature stores are kept; null is `<root>/features`.
        batch_size: clips per training step, over all processes together.
        sampler: `shuffle` sees each training clip once an epoch; `balanced` draws clips so that
            every class is equally frequent.
        subset: the part of the split that `test` and `predict` read.
        allow_leak: train and test although the split shares recordings between its parts; every
            result is then marked as leaked.
        features: what a feature is: backbone, sampling, transform.
        extraction: how missing features are computed.
    """

    def __init__(
        self,
        root: str = "$ACTIONRNN_DATA/synthetic",
        split: str = "split1",
        features_dir: str | None = None,
        batch_size: int = 64,
        sampler: Literal["shuffle", "balanced"] = "shuffle",
        subset: Subset = "test",
        allow_leak: bool = False,
        features: FeatureSettings = FeatureSettings(),  # noqa: B008  (frozen)
        extraction: ExtractionSettings = ExtractionSettings(),
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"--data.batch_size {batch_size}: must be at least 1")
        self.root = expand_path(root)
        self.split = split
        self.features_dir = expand_path(features_dir) if features_dir else self.root / "features"
        self.batch_size = batch_size
        self.sampler: Literal["shuffle", "balanced"] = sampler
        self.subset: Subset = subset
        self.allow_leak = allow_leak
        self.features = features
        self.extraction = extraction
        self.leaked = False
        self.tested_on_training_clips = False
        self._manifest: Manifest | None = None
        self._store: FeatureStore | None = None

    # ---- what the parts are -------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """The whole manifest, read and checked for leaks at first use."""
        if self._manifest is None:
            manifest = Manifest.load(self.root)
            if CONTENT not in manifest.table.columns:
                manifest = with_content(manifest)
            try:
                manifest.check_split(self.split)
            except DataRejected as error:
                if not self.allow_leak:
                    raise
                self.leaked = True
                first = str(error).split("\n")[0]
                print(f"warning: {first} Every result is marked as leaked.", file=sys.stderr)
            self._manifest = manifest
        return self._manifest

    @property
    def store(self) -> FeatureStore:
        """The features of every clip of the manifest that could be read."""
        if self._store is None:
            raise ActionRNNError("features are not ready: call prepare_data() and setup() first")
        return self._store

    @property
    def class_names(self) -> list[str]:
        """Class names; a class's index is its place in this list."""
        return self.manifest.class_names

    @property
    def feature_dim(self) -> int:
        """Size D of one frame's feature."""
        return int(self.store.feature_dim)

    def part(self, subset: Subset) -> Manifest:
        """The clips of one part of the split (`all`: every clip of the manifest)."""
        return self.manifest if subset == "all" else self.manifest.split(self.split, subset)

    def targets(self, subset: Subset) -> Tensor:
        """Class index of every clip of a part, readable or not, int64 (N,)."""
        return torch.from_numpy(np.asarray(self.part(subset).label_ids(), dtype=np.int64))

    def options(self) -> dict[str, Any]:
        """Settings as plain data, from which a checkpoint finds its data again."""
        return {
            "root": str(self.root.resolve()),
            "split": self.split,
            "features_dir": str(self.features_dir.resolve()),
            "batch_size": self.batch_size,
            "sampler": self.sampler,
            "allow_leak": self.allow_leak,
        }

    def identity(self) -> dict[str, Any]:
        """What a checkpoint remembers of the split it was trained on (plain data)."""
        train = self.part("train").table
        return {
            "split_hash": self.manifest.split_hash(self.split),
            "train_clips": stable_hashes(train["video_id"].tolist()),
            "train_groups": stable_hashes(sorted({str(g) for g in train["group"] if str(g)})),
            "leaked": self.leaked,
        }

    def check_unseen(self, identity: dict[str, Any], subset: Subset) -> None:
        """Refuse to score clips, or groups of clips, that a checkpoint was trained on.

        Raises:
            DataRejected: naming how many clips and the first few, unless `allow_leak`.
        """
        if subset == "train":
            return
        table = self.part(subset).table
        seen = torch.isin(stable_hashes(table["video_id"].tolist()), identity["train_clips"])
        groups = table["group"].astype(str).tolist()
        seen |= torch.isin(stable_hashes(groups), identity["train_groups"]) & torch.tensor(
            [bool(group) for group in groups], dtype=torch.bool
        )
        if not bool(seen.any()):
            return
        self.leaked = True
        self.tested_on_training_clips = True
        if not self.allow_leak:
            names = table["video_id"][seen.numpy()].tolist()
            raise DataRejected(
                f"{len(names)} of {len(table)} clips of {self.root} {self.split}/{subset} were "
                f"trained on by this checkpoint, or share a group with training clips "
                f"({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}). Test on the split "
                f"it was trained for, or pass --data.allow_leak true to have the result marked "
                f"as leaked."
            )

    def check_same_split(self, identity: dict[str, Any]) -> None:
        """Refuse to continue a training run on another split.

        Raises:
            DataRejected: if the split is not the checkpoint's.
        """
        if self.identity()["split_hash"] != identity["split_hash"]:
            raise DataRejected(
                f"{self.root} {self.split} is not the split this checkpoint was trained on: "
                f"continuing would train on clips it was validated or tested with. Resume with "
                f"the run's own config.yaml, or start a new run without --ckpt_path."
            )

    def check_features(self, spec: dict[str, Any]) -> None:
        """Refuse to feed a head with features it was not trained on.

        Other versions of the decoders and the runtime, which give the same frames and numbers up
        to the last digits, are said and accepted; not so another int8 network.

        Raises:
            ActionRNNError: naming every setting that differs.
        """
        saved, here = FeatureSpec.from_dict(spec), self.store.spec
        is_int8 = saved.settings.runtime == RUNTIME
        runtime = saved.runtime if is_int8 else here.runtime
        same_machine = dataclasses.replace(saved, reader=here.reader, runtime=runtime)
        differences = same_machine.difference(here)
        if not differences:
            for other in saved.difference(here):
                print(f"note: the checkpoint's features were made with {other}", file=sys.stderr)
        else:
            raise ActionRNNError(
                "the features are not those the checkpoint was trained on: "
                + "; ".join(differences)
                + ". Leave --features.* to the checkpoint."
            )

    # ---- Lightning's hooks --------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Extract the features that are missing (one process; resumes where it stopped)."""
        self.extract()

    def setup(self, stage: str) -> None:
        """Open the feature store; every process of a run does this."""
        if self._store is None:
            self.extract(progress=False)

    def extract(self, progress: bool = True, share: tuple[int, int] | None = None) -> FeatureStore:
        """Compute the features that are missing, and open the store.

        Args:
            progress: show it.
            share: `(i, n)`, only every n-th clip from the i-th on.

        Raises:
            ActionRNNError: see `ensure_features`.
        """
        options = self.extraction
        self._store = ensure_features(
            self.manifest,
            self.features,
            self.features_dir,
            device=options.device,
            num_workers=options.num_workers,
            batch_size=options.batch_size,
            on_bad_video=options.on_bad_video,
            max_bad=options.max_bad,
            progress=progress,
            shard=share,
            # The first process of a run has done so; its mates need not do it again.
            check_content=options.check_content and progress,
            retry_failed=options.retry_failed and progress,
        )
        return self._store

    def train_dataloader(self) -> FeatureLoader:
        """Training clips, shuffled or balanced, one random view each."""
        return self.loader("train", train=True, reduce=self._reduction())

    def val_dataloader(self) -> FeatureLoader:
        """Validation clips in order, all views."""
        return self.loader("val", reduce=self._reduction())

    def _reduction(self) -> Reduce | None:
        """What the Trainer's model would do anew with every clip in every epoch."""
        return getattr(self.trainer.lightning_module, "reduction", None) if self.trainer else None

    def test_dataloader(self) -> FeatureLoader:
        """Clips of `subset` in order, all views."""
        return self.loader(self.subset)

    def predict_dataloader(self) -> FeatureLoader:
        """Clips of `subset` in order, all views."""
        return self.loader(self.subset)

    def loader(
        self,
        subset: Subset,
        train: bool = False,
        whole: bool = False,
        reduce: Reduce | None = None,
    ) -> FeatureLoader:
        """Batches of one part; this process's share of it, or all of it where `whole`.

        Args:
            subset: the part.
            train: in random order, one random view a clip.
            whole: all of it, in every process.
            reduce: see `FeatureLoader`.

        Raises:
            DataRejected: if the part has no clip, or none that can be read.
        """
        part = self.part(subset)
        ids = part.table["video_id"].tolist()
        if not ids:
            raise DataRejected(
                f"{self.root}: no clip is '{subset}' in column {self.split!r} "
                f"(columns: {', '.join(self.manifest.splits)}); choose another with --data.split"
            )
        readable = [row for row, video_id in enumerate(ids) if video_id in self.store]
        if not readable:
            raise DataRejected(f"{self.root}: none of the {len(ids)} '{subset}' clips is readable")
        index_N = torch.tensor(readable)
        target_N = self.targets(subset)[index_N]
        weights = None
        if train and self.sampler == "balanced":
            weights = target_N.bincount().double().reciprocal()[target_N]
        trainer = self.trainer
        order = BatchOrder(
            num_rows=len(readable),
            batch_size=self.batch_size,
            shuffle=train,
            weights=weights,
            seed=int(os.environ.get("PL_GLOBAL_SEED", 0)),
            rank=trainer.global_rank if trainer and not whole else 0,
            world_size=trainer.world_size if trainer and not whole else 1,
        )
        video_ids = [ids[row] for row in readable]
        device = str(trainer.strategy.root_device) if trainer else "cpu"
        return FeatureLoader(self.store, video_ids, target_N, index_N, order, train, device, reduce)
