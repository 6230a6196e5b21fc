"""ActionDataModule: a manifest and a feature store become batches for the Trainer."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from actionrnn.errors import DataRejected
from actionrnn.features.store import FeatureStore
from actionrnn.training.action_data import ActionData, Subset
from actionrnn.training.batches import BatchOrder, FeatureLoader, Reduce
from actionrnn.training.data_checks import (
    check_classes,
    check_labels,
    seen_in_training,
    stable_hashes,
)
from actionrnn.training.windows import WindowLoader, step_labels


class ActionDataModule(ActionData, pl.LightningDataModule):
    """`ActionData` as a Trainer reads it: in batches."""

    # ---- what the parts are -------------------------------------------------------------------

    @property
    def feature_dim(self) -> int:
        """Size D of one frame's feature."""
        return int(self.store.feature_dim)

    @property
    def span_seconds(self) -> float:
        """Time that a step of a recording stands for."""
        return 1 / self.store.spec.settings.sampling.fps

    def step_labels(self, subset: Subset) -> dict[str, Tensor]:
        """See `windows.step_labels`."""
        return step_labels(self.part(subset), self.store)

    def targets(self, subset: Subset) -> Tensor:
        """Class index of every clip of a part, readable or not, int64 (N,).

        Of timelines that of every step of the readable recordings, one after another.
        """
        if self.has_timelines:
            labels = list(self.step_labels(subset).values())
            return torch.cat(labels) if labels else torch.zeros(0, dtype=torch.int64)
        return torch.from_numpy(np.asarray(self.part(subset).label_ids(), dtype=np.int64))

    def readable(self, subset: Subset) -> Tensor:
        """Which clips of a part have features, bool (N,); of timelines, which steps: all."""
        if self.has_timelines:
            return torch.ones(len(self.targets(subset)), dtype=torch.bool)
        return torch.tensor([name in self.store for name in self.part(subset).table["video_id"]])

    def options(self) -> dict[str, Any]:
        """Settings as plain data, from which a checkpoint finds its data again."""
        return {
            "root": str(self.root.resolve()),
            "split": self.split,
            "features_dir": str(self.features_dir.resolve()) if self._features_dir_given else None,
            "batch_size": self.batch_size,
            "sampler": self.sampler,
            "allow_leak": self.allow_leak,
            "val_from_train": self.val_from_train,
            "val_as_train": self.val_as_train,
            "window": self.windows.window,
            "stride": self.windows.stride,
            "test_stride": self.windows.test_stride,
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
        seen = seen_in_training(table, identity)
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

    def check_fit(self, validates: bool = True) -> None:
        """Refuse, before anything is extracted, a split that nothing can be learned from.

        Classes without a training clip are said: no model can find them.

        Args:
            validates: whether validation clips are needed.

        Raises:
            DataRejected: if there is no clip to train on, or to validate with, or one class only.
        """
        for subset in ("train", "val") if validates else ("train",):
            self.require_clips(subset)
        check_labels(self.part("train"), self.split)

    # ---- Lightning's hooks --------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Extract the features that are missing (one process; resumes where it stopped)."""
        self.extract()

    def setup(self, stage: str) -> None:
        """Open the feature store; every process of a run does this."""
        if self._store is None:
            self.extract(progress=False)

    def extract(self, progress: bool = True, share: tuple[int, int] | None = None) -> FeatureStore:
        """See `ActionData.extract`; what the Trainer's verb would refuse is refused before."""
        self._check_before()
        return super().extract(progress, share)

    def _check_before(self) -> None:
        """Refuse at once what would be refused after minutes of extraction."""
        trainer = self.trainer
        stage = trainer.state.fn if trainer else None
        subset: Subset = "val" if stage == "validate" else self.subset
        if trainer and stage == "fit":
            check_data = getattr(trainer.lightning_module, "check_data", None)
            if check_data is not None:
                check_data(self)
            self.check_fit(validates=bool(trainer.limit_val_batches))
        elif stage is not None:
            self.require_clips(subset)
        if self.expects is None:
            return
        check_classes(self.expects["class_names"], self.class_names, self.root)
        if stage == "fit":
            self.check_same_split(self.expects["identity"])
        elif stage is not None:
            self.check_unseen(self.expects["identity"], subset)

    def require_clips(self, subset: Subset) -> list[str]:
        """The `video_id`s of a part.

        Raises:
            DataRejected: if it has none.
        """
        ids: list[str] = self.part(subset).table["video_id"].tolist()
        if not ids:
            if subset == "val" and self.val_as_train:
                raise DataRejected(
                    f"{self.root}: this model was trained on the validation clips too (refit), so "
                    f"there are none; the run that was not lies in its folder: RUN/choosing"
                )
            carve = ", or carve some from train with --data.val_from_train 0.2"
            raise DataRejected(
                f"{self.root}: no clip is '{subset}' in column {self.split!r} "
                f"(columns: {', '.join(self.manifest.splits)}); choose another with --data.split"
                f"{carve if subset == 'val' else ''}"
            )
        return ids

    def train_dataloader(self) -> FeatureLoader | WindowLoader:
        """Training clips, shuffled or balanced, or random windows; one random view each."""
        return self.loader("train", train=True, reduce=self._reduction())

    def val_dataloader(self) -> FeatureLoader | WindowLoader:
        """Validation clips in order, all views."""
        return self.loader("val", reduce=self._reduction())

    def _reduction(self) -> Reduce | None:
        """What the Trainer's model would do anew with every clip in every epoch."""
        return getattr(self.trainer.lightning_module, "reduction", None) if self.trainer else None

    def _min_epoch_steps(self) -> int:
        """Training steps that the Trainer's model wants of an epoch, however few the clips."""
        model = self.trainer.lightning_module if self.trainer else None
        return int(getattr(model, "min_epoch_steps", 1))

    def test_dataloader(self) -> FeatureLoader | WindowLoader:
        """Clips of `subset` in order, all views."""
        return self.loader(self.subset)

    predict_dataloader = test_dataloader

    def loader(
        self,
        subset: Subset,
        train: bool = False,
        whole: bool = False,
        reduce: Reduce | None = None,
    ) -> FeatureLoader | WindowLoader:
        """Batches of one part; this process's share of it, or all of it where `whole`.

        Of timelines batches of windows: random ones to train on, consecutive ones else, which
        where `whole` do not overlap.

        Args:
            subset: the part.
            train: in random order, one random view a clip.
            whole: all of it, in every process.
            reduce: see `FeatureLoader`; not for windows.

        Raises:
            DataRejected: if the part has no clip, or none that can be read.
        """
        ids = self.require_clips(subset)
        readable = [row for row, video_id in enumerate(ids) if video_id in self.store]
        if not readable:
            raise DataRejected(f"{self.root}: none of the {len(ids)} '{subset}' clips is readable")
        index_N = torch.tensor(readable)
        video_ids = [ids[row] for row in readable]
        trainer = self.trainer
        device = str(trainer.strategy.root_device) if trainer else "cpu"
        order = BatchOrder(
            num_rows=len(readable),
            batch_size=self.batch_size,
            shuffle=train,
            min_steps=self._min_epoch_steps() if train else 1,
            seed=int(os.environ.get("PL_GLOBAL_SEED", 0)),
            rank=trainer.global_rank if trainer and not whole else 0,
            world_size=trainer.world_size if trainer and not whole else 1,
        )
        if self.has_timelines:
            cut = self.windows
            if whole:
                cut = replace(cut, test_stride=cut.window)
            position_N = self.store.positions(video_ids)
            labels_F = self.targets(subset)
            return WindowLoader(
                self.store, position_N, index_N, labels_F, order, cut, train, device
            )
        target_N = self.targets(subset)[index_N]
        if train and self.sampler == "balanced":
            order.weights = target_N.bincount().double().reciprocal()[target_N]
        return FeatureLoader(self.store, video_ids, target_N, index_N, order, train, device, reduce)
