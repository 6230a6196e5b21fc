"""Windows of recordings: every step counts once, with the past that a stream would have."""

import numpy as np
import pytest
import torch
from torch import Tensor

from actionrnn.features.resolve import imported_spec
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.store import FeatureStore
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import HeadOutput, build_head
from actionrnn.training.batches import Batch, BatchOrder
from actionrnn.training.losses import check_loss, compared, counted_frames
from actionrnn.training.windows import (
    WindowLoader,
    WindowSettings,
    consecutive_windows,
    random_windows,
)

LENGTHS = torch.tensor([1, 7, 16, 33, 100])


@pytest.mark.parametrize(("window", "step"), [(16, 8), (16, 16), (16, 1), (2, 1), (200, 100)])
def test_consecutive_windows_count_every_step_once(window: int, step: int) -> None:
    found = consecutive_windows(LENGTHS, window, step)
    seen = [torch.zeros(length) for length in LENGTHS.tolist()]
    for recording, start, length, counted in zip(*(each.tolist() for each in found), strict=True):
        assert 1 <= counted <= length <= window
        end = start + length
        seen[recording][end - counted : end] += 1
        past = end - counted + 1 - start  # steps that the first one that counts has seen
        assert start == 0 or past == window - step + 1
    assert all(bool((each == 1).all()) for each in seen)


def test_random_windows_end_anywhere_and_are_as_long_as_the_past() -> None:
    ends = [torch.zeros(length) for length in LENGTHS.tolist()]
    for epoch in range(400):
        found = random_windows(LENGTHS, 16, 8, torch.Generator().manual_seed(epoch))
        assert len(found.recording_M) == sum(-(-length // 8) for length in LENGTHS.tolist())
        stop = found.start_M + found.length_M
        assert bool((found.length_M == stop.clamp(max=16)).all())
        assert bool((stop <= LENGTHS[found.recording_M]).all())
        for recording, end in zip(found.recording_M.tolist(), stop.tolist(), strict=True):
            ends[recording][end - 1] += 1
    assert all(bool((each > 0).all()) for each in ends), "no step is never a last one"
    assert 20 < ends[4][:96].min() <= ends[4][:96].max() < 90, "50 of each are expected"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Three recordings of D = 3, whose features say which step of which they are."""
    folder = tmp_path_factory.mktemp("store")
    done = []
    for number, length in enumerate((20, 9, 33)):
        array = np.zeros((1, length, 3), np.float32)
        array[0, :, 0], array[0, :, 1] = number, np.arange(length)
        done.append((Entry(str(number), f"{number}-0", length), array))
    write_shard(folder, done, "test")
    return FeatureStore(folder, imported_spec("import:test"))


def loader(store: FeatureStore, random: bool, **settings: int) -> WindowLoader:
    position_N = store.positions(["2", "0"])
    labels_F = torch.cat([torch.arange(33), 100 + torch.arange(20)])
    order = BatchOrder(0, batch_size=4, shuffle=random, seed=3)
    cut = WindowSettings(**{"window": 8, "stride": 4, **settings})
    return WindowLoader(store, position_N, torch.tensor([5, 7]), labels_F, order, cut, random)


@pytest.mark.parametrize("share", [0.4, 0.0], ids=["in memory", "on disk"])
@pytest.mark.parametrize("random", [True, False])
def test_windows_hold_the_steps_and_labels_of_their_recording(
    store: FeatureStore, random: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionrnn.features.store.RAM_SHARE", share)
    store = FeatureStore(store.folder, store.spec)
    keys = []
    for batch in loader(store, random):
        assert batch.target_BT is not None
        assert batch.frame_BT is not None
        for row, length in enumerate(batch.lengths_BV[:, 0].tolist()):
            features_TD = batch.features_BVTD[row, 0, :length]
            steps = features_TD[:, 1]
            assert bool((steps.diff() == 1).all())
            assert batch.index_B[row] == {2.0: 5, 0.0: 7}[features_TD[0, 0].item()]
            offset = 100 if features_TD[0, 0] == 0 else 0
            assert torch.equal(batch.target_BT[row, :length].float(), offset + steps)
            assert batch.target_B[row] == offset + steps[-1]
            assert not bool(batch.features_BVTD[row, 0, length:].any())
        keys += batch.frame_BT[batch.frame_BT >= 0].tolist()
    if not random:
        assert sorted(keys) == list(range(53))


def test_an_epoch_is_a_function_of_seed_and_number(store: FeatureStore) -> None:
    def steps(epoch: int) -> list[Tensor]:
        windows = loader(store, random=True)
        windows.sampler.set_epoch(epoch)
        return [batch.features_BVTD for batch in windows]

    again = zip(steps(1), steps(1), strict=True)
    assert all(torch.equal(first, second) for first, second in again)
    assert not all(torch.equal(a, b) for a, b in zip(steps(1), steps(2), strict=False))


@pytest.mark.parametrize("settings", [{"window": 7}, {"stride": 0}, {"test_stride": 9}])
def test_windows_that_cannot_be_are_refused(store: FeatureStore, settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"--data.(window|stride|test_stride)"):
        loader(store, random=False, **settings)


# ---- the loss -------------------------------------------------------------------------------


def output_and_batch() -> tuple[HeadOutput, Batch]:
    torch.manual_seed(0)
    head = build_head(HeadConfig(cell="gru", hidden_size=4, pooling="mean"), 3, 5).eval()
    features, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    target_BT = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 3, 2, 1, 1, 1]])
    batch = Batch(
        features[:, None], lengths[:, None], target_BT[:, -1], torch.arange(2), target_BT=target_BT
    )
    return head(features, lengths), batch


def test_the_loss_compares_what_it_says() -> None:
    output, batch = output_and_batch()
    logits, target = compared("every_frame", output, batch)
    assert target.tolist() == [0, 1, 2, 3, 4, 0, 4, 3, 2, 1], "padding is left out"
    assert torch.equal(logits[6:], output.logits_BTK[1, :4])
    logits, target = compared("last_step", output, batch)
    assert target.tolist() == [0, 1]
    assert torch.equal(logits, torch.stack([output.logits_BTK[0, 5], output.logits_BTK[1, 3]]))
    logits, target = compared("every_frame", output, batch._replace(target_BT=None))
    assert target.tolist() == [0] * 6 + [1] * 4, "a clip's class at every frame of it"
    assert compared("clip", output, batch)[0] is output.logits_BK


def test_only_steps_that_count_are_kept() -> None:
    output, batch = output_and_batch()
    frame_BT = torch.tensor([[-1, -1, -1, 3, 4, 5], [-1, -1, 8, 9, -1, -1]])
    keys_F, logits_FVK = counted_frames(output.logits_BTK, batch._replace(frame_BT=frame_BT))
    assert keys_F.tolist() == [3, 4, 5, 8, 9]
    assert torch.equal(logits_FVK[3:, 0], output.logits_BTK[1, 2:4])


@pytest.mark.parametrize(
    ("config", "mixup", "message"),
    [
        ({"bidirectional": True}, 0.0, "--model.bidirectional false"),
        ({"inputs": "features,ahead"}, 0.0, "take delta for ahead"),
        ({}, 0.2, "mixes whole clips"),
    ],
)
def test_a_head_without_scores_of_moments_is_refused(
    config: dict[str, object], mixup: float, message: str
) -> None:
    built = HeadConfig(**config)  # type: ignore[arg-type]
    check_loss("clip", built, mixup)
    for loss in ("every_frame", "last_step"):
        with pytest.raises(ValueError, match=message):
            check_loss(loss, built, mixup)  # type: ignore[arg-type]
    for head in ("mean_pool", "single_frame", "attentive_probe"):
        check_loss("every_frame", HeadConfig(head=head, bidirectional=True), 0.0)
