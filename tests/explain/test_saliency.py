"""Saliency, hidden frames and faithfulness, against what they must be by definition."""

import numpy as np
import pytest
import torch
from torch import Tensor

from actionrnn.explain.faithfulness import faithfulness
from actionrnn.explain.missing import unseen
from actionrnn.explain.saliency import class_logits, integrated_gradients, occlusion
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import Head, build_head

HEADS = [
    HeadConfig(cell="lstm", hidden_size=8),
    HeadConfig(cell="gru", hidden_size=8, inputs="features,abs_delta", pooling="attention"),
    HeadConfig(cell="mingru", hidden_size=8, bidirectional=True, num_layers=2),
    HeadConfig(head="mean_pool"),
    HeadConfig(head="attentive_probe", hidden_size=8),
]


def a_head(config: HeadConfig) -> Head:
    torch.manual_seed(0)
    return build_head(config, 5, 3).eval()


def a_clip(num_frames: int = 12) -> Tensor:
    return torch.randn(num_frames, 5, generator=torch.Generator().manual_seed(1))


def test_seen_frames_stay_and_unseen_ones_lie_between_their_neighbours() -> None:
    clip_TD = a_clip()
    seen_MT = torch.rand(40, 12, generator=torch.Generator().manual_seed(2)) < 0.4
    for seen_T, version_TD in zip(seen_MT, unseen(clip_TD, seen_MT), strict=True):
        kept = seen_T.nonzero().flatten().numpy()
        assert torch.equal(version_TD[seen_T], clip_TD[seen_T])
        for d in range(5):
            expected = np.interp(np.arange(12), kept, clip_TD[kept, d].numpy())
            assert version_TD[:, d].numpy() == pytest.approx(expected, abs=1e-6)


def test_a_clip_of_which_nothing_was_seen_is_its_mean() -> None:
    clip_TD = a_clip()
    (version_TD,) = unseen(clip_TD, torch.zeros(1, 12))
    assert torch.allclose(version_TD, clip_TD.mean(dim=0).expand(12, 5))


@pytest.mark.parametrize("config", HEADS, ids=lambda each: f"{each.head}-{each.cell}")
def test_integrated_gradients_add_up_to_the_difference(config: HeadConfig) -> None:
    head, clip_TD = a_head(config), a_clip()
    still_TD = clip_TD.mean(dim=0).expand(12, 5)
    whole, still = class_logits(head, torch.stack([clip_TD, still_TD]), 1).tolist()
    parts_T = integrated_gradients(head, clip_TD, 1)
    assert parts_T.shape == (12,)
    assert float(parts_T.sum()) == pytest.approx(whole - still, abs=0.01 * max(1, abs(whole)))
    assert all(parameter.grad is None for parameter in head.parameters())


def test_integrated_gradients_of_a_linear_head_are_exact() -> None:
    head, clip_TD = a_head(HeadConfig(head="mean_pool")), a_clip()
    weight_D = head.classifier.weight[1].detach()
    expected_T = (clip_TD - clip_TD.mean(dim=0)) @ weight_D / 12
    assert integrated_gradients(head, clip_TD, 1) == pytest.approx(expected_T, abs=1e-5)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_occlusion_is_what_a_loop_gives(window: int) -> None:
    head, clip_TD = a_head(HEADS[0]), a_clip()
    whole = float(class_logits(head, clip_TD[None], 2).detach())
    found_T = occlusion(head, clip_TD, 2, window)
    for t in range(12):
        first = t - (window - 1) // 2
        hidden = [k for k in range(first, first + window) if 0 <= k < 12]
        kept = [k for k in range(12) if k not in hidden]
        changed = torch.stack(
            [torch.from_numpy(np.interp(range(12), kept, clip_TD[kept, d])) for d in range(5)], 1
        ).float()
        assert float(found_T[t]) == pytest.approx(
            whole - float(class_logits(head, changed[None], 2).detach()), abs=1e-5
        )


def test_the_one_frame_that_counts_is_found() -> None:
    """A head that looks at the maximum of one dimension, and a clip with one peak in it."""
    head = a_head(HeadConfig(head="recurrent", cell="mingru", hidden_size=8))
    clip_TD = torch.zeros(12, 5)
    clip_TD[7, 0] = 10.0
    for method in (occlusion, integrated_gradients):
        values_T = method(head, clip_TD, 0).abs()
        assert int(values_T.argmax()) in (6, 7, 8)


def test_curves_begin_and_end_with_the_whole_and_the_empty_clip() -> None:
    head, clip_TD = a_head(HEADS[1]), a_clip()
    saliency_T = occlusion(head, clip_TD, 0, 1)
    found = faithfulness(head, clip_TD, 0, saliency_T)
    versions = torch.stack([clip_TD, clip_TD.mean(dim=0).expand(12, 5)])
    logits_MK = head(versions, torch.tensor([12, 12])).logits_BK
    whole, empty = logits_MK.double().softmax(dim=1)[:, 0].tolist()
    for curve in (found.deletion, found.random_deletion):
        assert len(curve) == 13
        assert (curve[0], curve[-1]) == (pytest.approx(whole), pytest.approx(empty))
    assert (found.insertion[0], found.insertion[-1]) == (pytest.approx(empty), pytest.approx(whole))
    assert found.deletion_area == pytest.approx(np.mean(found.deletion))
    assert found == faithfulness(head, clip_TD, 0, saliency_T)


def test_the_best_order_beats_random_ones_and_the_worst_does_not() -> None:
    """Mean pooling with one telling dimension: the true order is known."""
    head = a_head(HeadConfig(head="mean_pool"))
    with torch.no_grad():
        head.classifier.weight.zero_()
        head.classifier.weight[1, 0] = 5.0
    clip_TD = a_clip()
    assert faithfulness(head, clip_TD, 1, clip_TD[:, 0]).is_faithful
    assert not faithfulness(head, clip_TD, 1, -clip_TD[:, 0]).is_faithful


def test_a_clip_of_one_frame() -> None:
    head, clip_TD = a_head(HEADS[0]), a_clip(1)
    assert occlusion(head, clip_TD, 0).tolist() == [0.0]
    assert integrated_gradients(head, clip_TD, 0).tolist() == [0.0]
    assert faithfulness(head, clip_TD, 0, torch.zeros(1)).deletion_area > 0
