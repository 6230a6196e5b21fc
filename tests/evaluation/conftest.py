"""Predictions tables without a model."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from actionrnn.datasets.manifest import Manifest
from actionrnn.evaluation.predictions import Predictions

MakePredictions = Callable[..., Predictions]


@pytest.fixture
def make_predictions() -> MakePredictions:
    """Scores of `num_clips` clips in `num_groups` groups; `skill` is how right they are."""

    def make(
        num_clips: int = 120,
        num_groups: int = 12,
        num_classes: int = 6,
        num_views: int = 1,
        skill: float = 2.0,
        seed: int = 0,
        unreadable: int = 0,
        temperature: float = 1.0,
        leaked: bool = False,
    ) -> Predictions:
        names = [f"class_{k}" for k in range(num_classes)]
        truth = torch.randint(num_classes, (num_clips,), generator=torch.Generator().manual_seed(7))
        table = pd.DataFrame(
            {
                "video_id": [f"clip{n:03d}" for n in range(num_clips)],
                "path": [f"videos/clip{n:03d}.mp4" for n in range(num_clips)],
                "label": [names[k] for k in truth.tolist()],
                "group": [f"g{n % num_groups}" for n in range(num_clips)],
                "split1": "test",
            }
        )
        noise = torch.Generator().manual_seed(seed)
        logits_NVK = torch.randn(num_clips, num_views, num_classes, generator=noise).double()
        logits_NVK[torch.arange(num_clips), :, truth] += skill
        errors = {}
        for n in range(unreadable):
            logits_NVK[n] = float("nan")
            errors[f"clip{n:03d}"] = "no video stream"
        part = Manifest(Path("nowhere"), table, names)
        return Predictions.from_logits(
            part, "test", logits_NVK, errors, leaked=leaked, temperature=temperature
        )

    return make
