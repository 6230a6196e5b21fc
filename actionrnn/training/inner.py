"""Inner folds of a split: its train and val clips alone, so that no choice sees a test clip."""

from pathlib import Path
from typing import Any, NamedTuple

from actionrnn.datasets.splits import inner_folds
from actionrnn.features.native_size import with_native_size
from actionrnn.training.settings import Settings, changed
from actionrnn.training.trainer import build


class InnerFolds(NamedTuple):
    """Settings that read the manifest of the inner folds, and its split columns."""

    changes: dict[str, Any]
    columns: list[str]


def save_inner_folds(settings: Settings, column: str, folder: Path, num_folds: int) -> InnerFolds:
    """Write a manifest of a split's train and val clips, by group in folds that validate in turn.

    Features are those of the whole dataset. The seed of the folds is that of the settings.

    Raises:
        ActionRNNError: if the clips do not make so many folds.
    """
    data = build(settings).data
    manifest = data.manifest_with_content()
    inner = inner_folds(manifest, column, num_folds, settings.seed_everything)
    inner.save(folder)
    changes = {
        "data.root": str(folder),
        "data.features_dir": str(data.features_dir),
        # Of the whole dataset: its clips are a part of it, and might be smaller or larger.
        "features.transform.size": with_native_size(data.features, manifest).transform.size,
        "data.val_from_train": 0.0,  # an inner fold validates with clips of its own
    }
    return InnerFolds(changes, inner.splits)


def inner_settings(settings: Settings, folder: Path, num_folds: int) -> list[Settings]:
    """The settings of a run in every inner fold of its split; see `save_inner_folds`."""
    inner = save_inner_folds(settings, settings.data.split, folder / "inner", num_folds)
    return [changed(settings, {**inner.changes, "data.split": column}) for column in inner.columns]
