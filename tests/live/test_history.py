"""What a score on a stream looks back on: each history is the head on some sequence, exactly."""

import pytest
import torch
from torch import Tensor

from actionrnn.errors import UsageError
from actionrnn.live.history import HistoryName, make_history
from actionrnn.models.config import CELLS, CONTROLS, HeadConfig
from actionrnn.models.heads import Head, build_head

NUM_FRAMES = 23
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
INPUTS = "features,abs_delta"
HEADS = [
    HeadConfig(cell=cell, pooling=pooling, hidden_size=8, inputs=INPUTS)
    for cell in CELLS
    for pooling in ("last", "mean", "max", "attention")
] + [HeadConfig(head=head, hidden_size=8, inputs=INPUTS) for head in CONTROLS]


def name(config: HeadConfig) -> str:
    kind = config.cell if config.head == "recurrent" else config.head
    return f"{kind}-{config.pooling}"


def make(config: HeadConfig) -> tuple[Head, Tensor]:
    torch.manual_seed(0)
    return build_head(config, 6, 3).eval(), torch.randn(2, NUM_FRAMES, 6)


def watched(head: Head, features_STD: Tensor, history: HistoryName, length: int = 6) -> Tensor:
    watch = make_history(head, history, length)
    with torch.inference_mode():
        return torch.stack([watch(frame) for frame in features_STD.unbind(1)], dim=1)


def judged(head: Head, features_STD: Tensor) -> Tensor:
    """The last frame's say on a clip: for `single_frame` that of the frame itself."""
    lengths = torch.full((len(features_STD),), features_STD.shape[1])
    with torch.inference_mode():
        return head(features_STD, lengths).logits_BTK[:, -1]


@pytest.mark.parametrize("config", HEADS, ids=name)
def test_whole_is_the_sequence(config: HeadConfig) -> None:
    head, features = make(config)
    with torch.inference_mode():
        expected = head(features, torch.tensor([NUM_FRAMES] * 2)).logits_BTK
    torch.testing.assert_close(watched(head, features, "whole"), expected, **CLOSE)


@pytest.mark.parametrize("config", HEADS, ids=name)
def test_restart_is_the_sequence_since_half_to_a_whole_length_ago(config: HeadConfig) -> None:
    head, features = make(config)
    found = watched(head, features, "restart", length=6)
    for t in range(NUM_FRAMES):
        start = max(0, t // 3 - 1) * 3
        assert t < 6 or 3 < t + 1 - start <= 6
        torch.testing.assert_close(found[:, t], judged(head, features[:, start : t + 1]), **CLOSE)


@pytest.mark.parametrize("config", HEADS, ids=name)
def test_window_is_the_clip_of_the_last_frames(config: HeadConfig) -> None:
    head, features = make(config)
    found = watched(head, features, "window", length=6)
    for t in range(NUM_FRAMES):
        part = features[:, max(0, t - 5) : t + 1]
        with torch.inference_mode():
            expected = head(part, torch.full((2,), part.shape[1])).logits_BK
        torch.testing.assert_close(found[:, t], expected, **CLOSE)


def test_forget_weighs_a_mean_by_its_half_life() -> None:
    head, features = make(HeadConfig(head="mean_pool"))
    found = watched(head, features, "forget", length=6)
    age = torch.arange(NUM_FRAMES - 1, -1, -1.0)
    weight_T = 0.5 ** (age / 6)
    mean = (features * weight_T[None, :, None]).sum(1) / weight_T.sum()
    torch.testing.assert_close(found[:, -1], judged(head, mean[:, None]), **CLOSE)


@pytest.mark.parametrize("config", [c for c in HEADS if c.pooling != "max"], ids=name)
def test_what_is_long_ago_is_forgotten_except_by_whole(config: HeadConfig) -> None:
    if config.head == "single_frame":
        pytest.skip("it remembers nothing")
    head, features = make(config)
    other = features.clone()
    other[:, :3] += 1
    repeated = [torch.cat([part, features.repeat(1, 8, 1)], dim=1) for part in (features, other)]
    for history in ("restart", "window", "forget"):
        a, b = (watched(head, part, history)[:, -1] for part in repeated)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("history", ["whole", "restart", "window", "forget"])
def test_another_history_of_the_head_is_a_new_start(history: HistoryName) -> None:
    head, features = make(HEADS[0])
    first, again = (watched(head, features, history) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_heads_that_cannot_watch_are_refused_with_what_to_do() -> None:
    both, _ = make(HeadConfig(hidden_size=8, bidirectional=True))
    for history in ("whole", "restart", "window", "forget"):
        with pytest.raises(UsageError, match=r"--model\.bidirectional false"):
            make_history(both, history, 6)
    ahead, _ = make(HeadConfig(hidden_size=8, inputs="features,abs_ahead2"))
    with pytest.raises(UsageError, match=r"--model\.inputs features,abs_delta2$"):
        make_history(ahead, "restart", 6)
    places = HeadConfig(head="attend_recur", hidden_size=8, bidirectional=True)
    with pytest.raises(UsageError, match=r"--model\.bidirectional false"):
        make_history(build_head(places, 16, 3, num_cells=4), "restart", 6)
    largest, _ = make(HeadConfig(hidden_size=8, pooling="max"))
    with pytest.raises(UsageError, match="--history restart"):
        make_history(largest, "forget", 6)
    with pytest.raises(UsageError, match="known: restart, window, forget, whole"):
        make_history(largest, "last", 6)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one frame"):
        make_history(largest, "window", 0)
