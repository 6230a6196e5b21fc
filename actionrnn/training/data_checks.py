"""Which data and features a run or a checkpoint can use: refused by name, before the work."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected, UsageError
from actionrnn.features.spec import FeatureSettings, FeatureSpec, is_imported
from actionrnn.progress import tell


def stable_hashes(names: list[str]) -> Tensor:
    """A 63-bit hash of every name, int64 (N,), the same on every machine."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests]).long()


def seen_in_training(table: pd.DataFrame, identity: dict[str, Any]) -> Tensor:
    """Which clips a checkpoint was trained on, or on others of their group, bool (N,).

    Args:
        table: of a manifest.
        identity: what the checkpoint remembers of its split.
    """
    seen = torch.isin(stable_hashes(table["video_id"].tolist()), identity["train_clips"])
    groups = table["group"].astype(str).tolist()
    return seen | torch.isin(stable_hashes(groups), identity["train_groups"]) & torch.tensor(
        [bool(group) for group in groups], dtype=torch.bool
    )


def check_classes(saved: list[str], here: list[str], root: Path) -> None:
    """Refuse data whose classes are not those of a checkpoint.

    Raises:
        ActionRNNError: naming the first of both.
    """
    if saved != here:
        raise ActionRNNError(
            f"the checkpoint's classes ({', '.join(saved[:5])}, ...) are not those of "
            f"{root} ({', '.join(here[:5])}, ...): they must be the same, in the same order"
        )


def check_features(saved: dict[str, Any], here: FeatureSpec) -> None:
    """Refuse to feed a head with features it was not trained on.

    Other decoders, versions and float32 runtimes, which give the same frames and numbers up to
    the last digits, are said and accepted.

    Args:
        saved: spec of the checkpoint.
        here: of the features to use.

    Raises:
        ActionRNNError: naming every setting that differs.
    """
    spec = FeatureSpec.from_dict(saved)
    same_machine = dataclasses.replace(spec, reader=here.reader, runtime=here.runtime)
    if {spec.settings.runtime, here.settings.runtime} == {"torch", "openvino"}:
        settings = dataclasses.replace(spec.settings, runtime=here.settings.runtime)
        same_machine = dataclasses.replace(same_machine, settings=settings)
    differences = same_machine.difference(here)
    if not differences:
        for other in spec.difference(here):
            tell(f"note: the checkpoint's features were made with {other}")
    else:
        raise ActionRNNError(
            "the features are not those the checkpoint was trained on: "
            + "; ".join(differences)
            + ". Leave --features.* to the checkpoint."
        )


def check_labels(train: Manifest, split: str) -> None:
    """Refuse training clips that nothing can be learned from; say which classes have none.

    Args:
        train: the training part.
        split: its column, for messages.

    Raises:
        DataRejected: if all are of one class; of timelines, if nothing ever happens in them.
    """
    labels, class_names, unit = train.table["label"], train.class_names, "clip"
    if train.timelines is not None:
        labels, class_names, unit = train.timelines["label"], class_names[1:], "segment"
        if not len(labels):
            raise DataRejected(f"{train.root}: nothing happens in the recordings to train on")
    elif labels.nunique() < 2:
        raise DataRejected(
            f"{train.root}: all {len(labels)} training clips of {split} are of one class, "
            f"{labels.iloc[0]!r}; there is nothing to tell apart"
        )
    lacking = [name for name in class_names if name not in set(labels)]
    if lacking:
        names = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        tell(
            f"warning: {len(lacking)} of {len(class_names)} classes have no training {unit} "
            f"in {split}, so that no {unit} of theirs can be scored right: {names}"
        )


def check_recordings(features: FeatureSettings, sampler: str) -> None:
    """Refuse settings under which recordings have no time axis.

    Raises:
        UsageError: naming them.
    """
    sampling = features.sampling
    if is_imported(features.backbone.name):
        raise UsageError(
            f"--features.backbone.name {features.backbone.name}: the data are timelines, and "
            f"imported features do not say at which rate they were taken"
        )
    if sampling.mode != "fps" or sampling.num_temporal_views != 1:
        raise UsageError(
            f"the data are timelines: their features are taken at a fixed rate, one view over "
            f"time: --features.sampling.mode fps --features.sampling.fps {sampling.fps:g} "
            f"--features.sampling.num_temporal_views 1"
        )
    if sampler == "balanced":
        raise UsageError(
            "--data.sampler balanced draws clips, and the data are timelines: weigh their moments "
            "with --model.class_weights balanced"
        )
