"""Uneven classes: sampling and loss weights do what they say."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from actionrnn.datasets.manifest import Manifest
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.training.data import ActionDataModule
from actionrnn.training.recognizer import ActionRecognizer

COUNTS = {"common": 90, "rare": 10}


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """A manifest of 90 and 10 training clips, with features."""
    names = [f"{label}{k}" for label, count in COUNTS.items() for k in range(count)]
    table = pd.DataFrame({"video_id": names, "path": [f"{name}.mp4" for name in names]})
    table["label"] = table["video_id"].str.rstrip("0123456789")
    table["split1"], table["content"] = "train", ""
    Manifest(tmp_path, table, list(COUNTS)).save()
    return tmp_path


def data_of(root: Path, sampler: Any) -> ActionDataModule:
    data = ActionDataModule(str(root), batch_size=10, sampler=sampler)
    folder = FeatureStore.create(
        root / sampler, FeatureSpec(FeatureSettings(), "none", "00")
    ).folder
    ids = data.manifest.table["video_id"]
    clips = [(Entry(name, "s", 2), np.zeros((1, 2, 3), dtype=np.float32)) for name in ids]
    write_shard(folder, clips)
    data._store = FeatureStore.open(folder)
    return data


def drawn(data: ActionDataModule, epochs: int = 5) -> torch.Tensor:
    loader = data.loader("train", train=True)
    targets = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        targets += [batch.target_B for batch in loader]
    return torch.cat(targets)


def test_a_balanced_sampler_draws_every_class_equally_often(uneven: Path) -> None:
    assert drawn(data_of(uneven, "shuffle")).bincount().tolist() == [450, 50]
    balanced = drawn(data_of(uneven, "balanced"))
    assert len(balanced) == 500, "an epoch is as long as it was"
    assert 0.4 < balanced.float().mean() < 0.6


@pytest.mark.parametrize(
    ("option", "expected"), [("none", None), ("balanced", [100 / 180, 100 / 20])]
)
def test_class_weights_make_every_class_weigh_the_same(
    uneven: Path, option: Any, expected: list[float] | None
) -> None:
    data = data_of(uneven, "shuffle")
    model = ActionRecognizer(class_weights=option, hidden_size=4, inputs="features")
    model.build(3, data.class_names)
    model._trainer = cast(Any, SimpleNamespace(datamodule=data, ckpt_path="resumed"))
    model._fabric = None
    model.on_fit_start()
    found = model._class_weights_K
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.tolist() == pytest.approx(expected)
        weight_per_class = found * torch.tensor(list(COUNTS.values()))
        assert weight_per_class.tolist() == pytest.approx([50, 50])


def test_a_class_without_a_training_clip_weighs_nothing(tmp_path: Path) -> None:
    names = [f"a{k}" for k in range(30)] + [f"b{k}" for k in range(10)] + ["c0"]
    table = pd.DataFrame({"video_id": names, "path": names, "content": ""})
    table["label"] = table["video_id"].str[0]
    table["split1"] = ["train"] * 40 + ["test"]
    Manifest(tmp_path, table, ["a", "b", "c", "d"]).save()
    data = data_of(tmp_path, "shuffle")
    model = ActionRecognizer(class_weights="balanced", hidden_size=4, inputs="features")
    model.build(3, data.class_names)
    model._trainer = cast(Any, SimpleNamespace(datamodule=data, ckpt_path="resumed"))
    model._fabric = None
    model.on_fit_start()
    assert model._class_weights_K is not None
    assert model._class_weights_K.tolist() == pytest.approx([40 / 60, 40 / 20, 0, 0])
