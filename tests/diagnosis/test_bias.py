"""When a shortcut is suspected, from figures made by hand."""

import pytest

from actionrnn.diagnosis.bias import PartOfEvidence, is_shortcut, verdict
from actionrnn.evaluation.intervals import Interval

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
