"""ActionData: a manifest, one of its splits, and the features of its clips. No Trainer needed."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from actionrnn.datasets.errors import ManifestNotFound
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError, DataRejected
from actionrnn.features.extract import ensure_features
from actionrnn.features.resolve import resolved
from actionrnn.features.spec import FeatureSettings
from actionrnn.features.store import FeatureStore
from actionrnn.features.weights import weights_identity
from actionrnn.progress import tell
from actionrnn.training.data_checks import check_features, check_recordings
from actionrnn.training.data_source import (
    ExtractionSettings,
    expand_path,
    manifest_with_content,
    val_as_train,
    with_val,
)
from actionrnn.training.windows import WindowSettings

Subset = Literal["train", "val", "test", "unused", "all"]
ALL_FRAMES = 10**9  # of a recording, which is read to its end: a year at 30 per second


class ActionData:
    """Clips of a manifest as frozen features, extracted first where they are missing.

    Where the manifest holds timelines, a row is a whole recording: its features are taken at the
    rate of `features.sampling.fps` to its very end, stored once, and read in windows.

    Args:
        root: prepared dataset: the folder with manifest.csv and classes.txt, or its address
            (s3://bucket/data). Environment variables are expanded; `$ACTIONRNN_DATA` is `data`
            where it is not set.
        split: manifest column that says train, val, test or unused for each clip.
        features_dir: where feature stores are kept, also an address; null is `<root>/features`.
        batch_size: clips (of timelines: windows) per training step, over all processes together.
        sampler: `shuffle` sees each training clip once an epoch; `balanced` draws clips so that
            every class is equally frequent.
        subset: the part of the split that `test` and `predict` read.
        allow_leak: train and test although the split shares recordings between its parts; every
            result is then marked as leaked.
        val_from_train: share of the training clips, by whole groups, that validates a split
            without validation clips (leave-one-out), 0 <= share < 1.
        val_as_train: train on the validation clips too; nothing is left to validate with.
        window: steps of a window of a recording, even; only for timelines, as are the next two.
        stride: in training a window ends at a random step of every so many.
        test_stride: steps from one scored window to the next, whose last ones count: null is half
            a window, as `live` and `timeline` restart; 1 gives each step exactly `window` steps
            (their `--history window`).
        features: what a feature is: backbone, sampling, transform.
        extraction: how missing features are computed.

    Attributes:
        expects: what the checkpoint in use was trained on; data and features that it cannot use
            are refused before features are computed.
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
        val_from_train: float = 0.0,
        val_as_train: bool = False,
        window: int = 128,
        stride: int = 16,
        test_stride: int | None = None,
        features: FeatureSettings = FeatureSettings(),  # noqa: B008  (frozen)
        extraction: ExtractionSettings = ExtractionSettings(),  # noqa: B008  (frozen)
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"--data.batch_size {batch_size}: must be at least 1")
        if not 0 <= val_from_train < 1:
            raise ValueError(f"--data.val_from_train {val_from_train}: must be in 0 to 1")
        self.root = expand_path(root)
        self.split = split
        self.features_dir = expand_path(features_dir) if features_dir else self.root / "features"
        self.batch_size = batch_size
        self.sampler: Literal["shuffle", "balanced"] = sampler
        self.subset: Subset = subset
        self.allow_leak = allow_leak
        self.val_from_train = val_from_train
        self.val_as_train = val_as_train
        self.windows = WindowSettings(window, stride, test_stride)
        self.features = features
        self.extraction = extraction
        self.leaked = False
        self.tested_on_training_clips = False
        self.expects: dict[str, Any] | None = None
        self._features_dir_given = features_dir is not None
        self._manifest: Manifest | None = None
        self._store: FeatureStore | None = None

    @property
    def manifest(self) -> Manifest:
        """The whole manifest, read and checked for leaks at first use."""
        if self._manifest is None:
            try:
                manifest = with_val(self.manifest_with_content(), self.split, self.val_from_train)
            except ManifestNotFound as error:
                if self.expects is None:
                    raise
                raise ActionRNNError(
                    f"the checkpoint's data is not at {self.root} any more; say where it is now: "
                    f"--data.root FOLDER (the folder with manifest.csv)"
                ) from error
            try:
                manifest.check_split(self.split)
            except DataRejected as error:
                if not self.allow_leak:
                    raise
                self.leaked = True
                first = str(error).split("\n")[0]
                tell(f"warning: {first} Every result is marked as leaked.")
            self._manifest = val_as_train(manifest, self.split) if self.val_as_train else manifest
        return self._manifest

    def manifest_with_content(self) -> Manifest:
        """The manifest as it is on disk, with the column that tells equal files."""
        return manifest_with_content(self.root)

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

    def part(self, subset: Subset) -> Manifest:
        """The clips of one part of the split (`all`: every clip of the manifest)."""
        return self.manifest if subset == "all" else self.manifest.split(self.split, subset)

    @property
    def has_timelines(self) -> bool:
        """Whether the clips are recordings in which things begin and end."""
        return self.manifest.timelines is not None

    def extract(self, progress: bool = True, share: tuple[int, int] | None = None) -> FeatureStore:
        """Compute the features that are missing, and open the store.

        Args:
            progress: show it.
            share: `(i, n)`, only every n-th clip from the i-th on.

        Raises:
            ActionRNNError: see `ensure_features`.
        """
        options = self.extraction
        if not progress:  # the first process of a run has done so; its mates need not do it again
            options = replace(options, check_content=False, retry_failed=False)
        features = resolved(self.features)
        if self.has_timelines:
            check_recordings(features, self.sampler)
            to_the_end = replace(features.sampling, num_frames=ALL_FRAMES)
            features = replace(features, sampling=to_the_end)
        weights_identity(features.backbone)  # is there, before minutes of decoding
        check = partial(check_features, self.expects["feature_spec"]) if self.expects else None
        self._store = ensure_features(
            self.manifest,
            features,
            self.features_dir,
            progress=progress,
            shard=share,
            retry_unread=progress,
            check_spec=check,
            **vars(options),
        )
        return self._store
