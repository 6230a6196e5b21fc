"""What a head costs: parameters, multiply-adds, milliseconds a clip."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.resolve import resolved
from actionrnn.features.spec import FeatureSettings, is_imported
from actionrnn.models.config import CELLS, HeadConfig
from actionrnn.models.heads import Head, build_head

REPEATS = 9


@dataclass(frozen=True)
class Cost:
    """The price of one clip.

    Attributes:
        parameters: numbers that training changes.
        multiply_adds: of the matrix products of a forward pass.
        train_ms: a training step (forward, backward, AdamW), per clip of the batch.
        inference_ms: a forward pass, per clip of the batch.
    """

    parameters: int
    multiply_adds: int
    train_ms: float
    inference_ms: float


def measure_costs(
    heads: dict[str, Head],
    features_BTD: Tensor,
    lengths_B: Tensor,
    target_B: Tensor,
    repeats: int = REPEATS,
) -> dict[str, Cost]:
    """The cost of every head on one batch: medians of repeats that take turns.

    Turns, so that whatever else the machine does falls on all heads alike. The first turn, in
    which kernels are set up, does not count. Heads are copied; the device is the features'.
    """
    steps = {
        name: _training_step(head, features_BTD, lengths_B, target_B)
        for name, head in heads.items()
    }
    passes = {name: _inference(head, features_BTD, lengths_B) for name, head in heads.items()}
    # As in `fit`: gradients that vanish end as denormal numbers, which slow a CPU down.
    torch.set_flush_denormal(True)
    try:
        train = _medians(steps, features_BTD.device, repeats)
        inference = _medians(passes, features_BTD.device, repeats)
    finally:
        torch.set_flush_denormal(False)
    num_clips, num_frames = features_BTD.shape[:2]
    return {
        name: Cost(
            head.num_parameters,
            head.macs(num_frames),
            1000 * train[name] / num_clips,
            1000 * inference[name] / num_clips,
        )
        for name, head in heads.items()
    }


def cells_by_length(
    config: HeadConfig,
    lengths: list[int],
    feature_dim: int = 512,
    num_clips: int = 16,
    device: str = "cpu",
    repeats: int = REPEATS,
) -> dict[int, dict[str, Cost]]:
    """The cost of every cell on synthetic features of each length, all else as in `config`.

    Raises:
        ValueError: for a length, feature size or batch below 1.
    """
    if min(lengths, default=0) < 1 or feature_dim < 1 or num_clips < 1:
        raise ValueError(
            f"lengths {lengths}, feature_dim {feature_dim}, clips {num_clips}: at least 1"
        )
    settings = {**config.to_dict(), "head": "recurrent"}
    heads = {
        cell: build_head(HeadConfig(**{**settings, "cell": cell}), feature_dim, 10).to(device)
        for cell in CELLS
        if (cell, config.init) != ("rnn", "chrono")
    }
    found = {}
    for num_frames in lengths:
        features_BTD = torch.randn(num_clips, num_frames, feature_dim, device=device)
        lengths_B = torch.full((num_clips,), num_frames, device=device)
        target_B = torch.arange(num_clips, device=device) % 10
        found[num_frames] = measure_costs(heads, features_BTD, lengths_B, target_B, repeats)
    return found


def picture_milliseconds(settings: FeatureSettings, device: str, repeats: int = 3) -> float | None:
    """What the backbone takes for a picture in batches of its own size, the median of repeats.

    None of imported features, whose network is not known.
    """
    if is_imported(settings.backbone.name):
        return None
    settings = resolved(settings)
    runtime = settings.runtime if settings.runtime != "auto" else "torch"
    side = settings.transform.side
    backbone = FrozenBackbone(settings.backbone, device, runtime, side=side)
    pictures = torch.zeros(backbone.batch_size, 3, side, side, dtype=torch.uint8)
    with closing(backbone):
        seconds = _medians({"": lambda: backbone(pictures)}, torch.device("cpu"), repeats)[""]
    return 1000 * seconds / len(pictures)


def _training_step(
    head: Head, features_BTD: Tensor, lengths_B: Tensor, target_B: Tensor
) -> Callable[[], None]:
    head = copy.deepcopy(head).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        logits_BK = head(features_BTD, lengths_B).logits_BK
        nn.functional.cross_entropy(logits_BK, target_B).backward()
        optimizer.step()

    return step


def _inference(head: Head, features_BTD: Tensor, lengths_B: Tensor) -> Callable[[], None]:
    head = copy.deepcopy(head).eval()

    def run() -> None:
        with torch.inference_mode():
            head(features_BTD, lengths_B)

    return run


def _medians(
    actions: Mapping[str, Callable[[], object]], device: torch.device, repeats: int
) -> dict[str, float]:
    """Median seconds of each action over rounds in which each has one turn."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name, action in actions.items():
            _wait(device)
            start = time.perf_counter()
            action()
            _wait(device)
            if turn > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
