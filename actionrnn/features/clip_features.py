"""Features: a dataset's clips and their frozen features, as pandas and NumPy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features.store import SPEC_NAME, FeatureStore
from actionrnn.places import place

CLIPS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Features:
    """The clips of a prepared dataset that have features, and these.

    Attributes:
        clips: their N rows of the manifest, `video_id, path, label, group, split1, ...`.
        store: the feature store.
    """

    clips: pd.DataFrame
    store: FeatureStore

    @classmethod
    def load(cls, folder: str | Path) -> "Features":
        """Open the features of a dataset.

        Args:
            folder: of the dataset, or of one of its stores (`ROOT/features/...`), where it has
                several.

        Raises:
            ActionRNNError: if there are none, or several to choose from.
        """
        path = place(folder)
        if (path / SPEC_NAME).is_file():
            return cls.of(Manifest.load(path.parents[1]), FeatureStore.open(path))
        manifest = Manifest.load(path)
        stores = sorted(each.parent for each in path.glob(f"features/*/{SPEC_NAME}"))
        if len(stores) != 1:
            listed = "".join(f"\n  {each}" for each in stores)
            raise ActionRNNError(
                f"{path} has several features; name one of:{listed}"
                if stores
                else f"{path} has no features yet: actionrnn extract --data.root {path}"
            )
        return cls.of(manifest, FeatureStore.open(stores[0]))

    @classmethod
    def of(cls, manifest: Manifest, store: FeatureStore) -> "Features":
        """Those of the clips of a manifest, or of a part of it, that could be read."""
        known = [video_id in store for video_id in manifest.table["video_id"]]
        return cls(manifest.table[known].reset_index(drop=True), store)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def labels(self) -> NDArray[np.str_]:
        """Class names (N,)."""
        return self.clips["label"].to_numpy(dtype=str)

    @property
    def groups(self) -> NDArray[np.str_]:
        """Recordings (N,); empty where none is known."""
        return self.clips["group"].to_numpy(dtype=str)

    def read(self, video_id: str) -> NDArray[np.float32]:
        """Features of every view and frame of a clip, (V, T, D).

        Raises:
            KeyError: if it has none.
        """
        return self.store.read(video_id).astype(np.float32)

    def embeddings(self) -> NDArray[np.float32]:
        """A vector for each clip, (N, D): the mean over the frames of its first view."""
        positions = self.store.positions(self.clips["video_id"].tolist())
        found = [np.empty((0, self.store.feature_dim), np.float32)]
        for part in positions.split(CLIPS_AT_ONCE):
            features_BTD, lengths_B = self.store.gather(part)
            found.append((features_BTD.sum(dim=1) / lengths_B[:, None]).numpy())
        return np.concatenate(found)
