"""When a shortcut is suspected, from figures made by hand; what a dead decoder costs."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch

from actionrnn.diagnosis import bias
from actionrnn.diagnosis.bias import PartOfEvidence, is_shortcut, score_background, verdict
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.intervals import Interval
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.video.decode import ClipRequest
from actionrnn.video.isolate import DecoderDied

CHANCE = 0.1


def background(part: float, num_groups: int, low: float, num_clips: int = 40) -> PartOfEvidence:
    """What a median frame gives of a model that is right in 9 of 10."""
    bounds = Interval(low, 1.0) if num_groups > 2 else None
    return PartOfEvidence("val", num_clips, num_groups, part, bounds, 0.9, None, part / 0.9, None)


@pytest.mark.parametrize(
    ("evidence", "suspected"),
    [
        (background(0.8, 12, low=0.5), True),
        (background(0.8, 12, low=0.05), False),  # no more than chance
        (background(0.4, 12, low=0.3), False),  # less than the model needs
        (background(0.8, 2, low=0.0), True),  # too few groups, but these clips are named
        (background(0.8, 2, low=0.0, num_clips=1), False),
    ],
)
def test_a_shortcut_is_suspected_where_the_scene_names_the_class(
    evidence: PartOfEvidence, suspected: bool
) -> None:
    assert is_shortcut(evidence, CHANCE) == suspected
    said = verdict(evidence, [evidence], {}, CHANCE)
    assert ("SHORTCUT SUSPECTED" in said) == suspected
    few = suspected and evidence.num_groups < 6
    assert ("in the 2 groups there are" in said) == few
    assert ("too few to trust" in said) == (evidence.part_interval is None)


class DyingWorker:
    """Decodes white frames; the process dies on the clips named."""

    dies: tuple[str, ...] = ()

    def __enter__(self) -> "DyingWorker":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, request: ClipRequest) -> SimpleNamespace:
        if request.path in self.dies:
            raise DecoderDied(request.path, "the decoder crashed its process (SIGSEGV)")
        return SimpleNamespace(frames=torch.full((1, 3, 3, 8, 8), 255, dtype=torch.uint8))


@pytest.fixture
def four_clips(monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """A model of two classes whose scores are the mean of the features."""
    clips = [SimpleNamespace(video_id=f"v{n}", request=ClipRequest(f"{n}.mp4", None, None))
             for n in range(4)]  # type: ignore[arg-type]  # fmt: skip
    monkeypatch.setattr(bias, "DecodeWorker", DyingWorker)
    monkeypatch.setattr(bias, "clips_of", lambda manifest, settings: clips)
    monkeypatch.setattr(bias, "compute", lambda backbone, frames: frames.float().mean((3, 4)))
    monkeypatch.setattr(bias, "score_clip", lambda recognizer, still: still.mean(1)[:, :2])
    store = MagicMock()
    store.__contains__.return_value = True
    store.spec.settings.num_views = 1
    data = SimpleNamespace(store=store, part=lambda subset: None)
    return SimpleNamespace(data=data, class_names=["a", "b"], recognizer=None)  # type: ignore


def test_a_dead_decoder_costs_one_clip(
    four_clips: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DyingWorker, "dies", ("2.mp4",))
    unread: dict[str, str] = {}
    scores = score_background(four_clips, "test", None, 10, unread)  # type: ignore[arg-type]
    assert scores.isnan().all(dim=2)[:, 0].tolist() == [False, False, True, False]
    assert unread == {"v2": "the decoder crashed its process (SIGSEGV)"}


def test_if_no_clip_can_be_read_it_says_where_to_look(
    four_clips: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DyingWorker, "dies", tuple(f"{n}.mp4" for n in range(4)))
    with pytest.raises(ActionRNNError, match=r"not one of 4 test clips .*--data.root"):
        score_background(four_clips, "test", None, 10, {})  # type: ignore[arg-type]
