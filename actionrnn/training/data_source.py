"""Where a run's data come from: the prepared dataset, and how its missing features are computed."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from actionrnn.datasets.content_hash import CONTENT, groups_with_equal_files, with_content
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.splits import carve_val
from actionrnn.errors import DataRejected
from actionrnn.features.engine import OnBadVideo
from actionrnn.features.extract import EngineName
from actionrnn.places import place


def expand_path(path: str) -> Path:
    """A path with `~` and known environment variables filled in; any other `$` is a character.

    `$ACTIONRNN_DATA` is `data` if unset. It may be an address; see `places`.
    """
    variables = {"ACTIONRNN_DATA": "data", **os.environ}

    def filled(found: re.Match[str]) -> str:
        return variables.get(found[1] or found[2], found[0])

    return place(re.sub(r"\$(?:(\w+)|\{(\w+)\})", filled, path)).expanduser()


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
        engine: `local`, this machine; `ray`, the cluster of RAY_ADDRESS, or without it a cluster
            on this machine (needs `pip install 'actionrnn[ray]'` on every node).
    """

    device: str = "auto"
    num_workers: int | None = None
    batch_size: int | None = None
    on_bad_video: OnBadVideo = "record"
    max_bad: float = 0.2
    check_content: bool = False
    retry_failed: bool = False
    engine: EngineName = "local"

    def __post_init__(self) -> None:
        for name, value, least in (
            ("num_workers", self.num_workers, 1),
            ("batch_size", self.batch_size, 1),
            ("max_bad", self.max_bad, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"--extraction.{name} {value}: must be at least {least}")


def manifest_with_content(root: Path) -> Manifest:
    """The manifest as it is on disk, with the column that tells equal files."""
    manifest = Manifest.load(root)
    return manifest if CONTENT in manifest.table.columns else with_content(manifest)


def with_val(manifest: Manifest, split: str, share: float) -> Manifest:
    """The manifest with a share of a split's training clips as validation clips; 0 is as it is.

    Raises:
        DataRejected: if the split has validation clips, or they cannot be carved.
    """
    if not share:
        return manifest
    flag, table = f"--data.val_from_train {share:g}", manifest.table
    num_val = len(manifest.split(split, "val").table)
    if num_val:
        raise DataRejected(
            f"{manifest.root}: {split} has {num_val} validation clips already; leave out {flag}"
        )
    groups = groups_with_equal_files(table)
    columns = {name: table[name].tolist() for name in manifest.splits}
    part = carve_val(columns, table["label"].tolist(), groups, share)[split]
    if "val" not in part:
        raise DataRejected(
            f"{manifest.root}: {flag} can carve nothing from {split}: the training clips of each "
            f"class are of one group (recording)"
        )
    return manifest.with_table(table.assign(**{split: part}))


def val_as_train(manifest: Manifest, split: str) -> Manifest:
    """The manifest with a split's validation clips among those to train on."""
    part = manifest.split_values(split).replace("val", "train")
    return manifest.with_table(manifest.table.assign(**{split: part}))
