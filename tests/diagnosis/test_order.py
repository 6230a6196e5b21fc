"""What the verdict on order says, from scores made by hand."""

import pytest
import torch

from actionrnn.diagnosis.order import OrderDiagnosis, judge_order
from actionrnn.evaluation.figures import GroupedScores
from actionrnn.report.diagnosis_screens import order_screen

NAMES = ["up", "down"]
TITLES = {name: name for name in ("ordered", "shuffled", "reversed", "mean_pool", "single_frame")}


def scores(num_groups: int, share_right: float, seed: int) -> GroupedScores:
    """Ten clips a group, each class alike, so many of them right."""
    generator = torch.Generator().manual_seed(seed)
    target_N = torch.arange(10 * num_groups) % 2
    right_N = torch.rand(len(target_N), generator=generator) < share_right
    called_N = torch.where(right_N, target_N, 1 - target_N)
    logits_NK = torch.nn.functional.one_hot(called_N, 2).double()
    group_N = torch.arange(num_groups).repeat_interleave(10)
    return GroupedScores.of(logits_NK[:, None], target_N, group_N)


def judged(num_groups: int, shuffled: float, blind: float) -> OrderDiagnosis:
    runs = {
        "ordered": [scores(num_groups, 0.95, 1)],
        "shuffled": [scores(num_groups, shuffled, seed) for seed in (2, 3, 4)],
        "reversed": [scores(num_groups, 0.05, 5)],
        "mean_pool": [scores(num_groups, blind, 6)],
        "single_frame": [scores(num_groups, 0.5, 7)],
    }
    return judge_order(runs, TITLES, NAMES, "test", leaked=False)


def test_order_that_is_used_is_said_to_be() -> None:
    found = judged(12, shuffled=0.5, blind=0.5)
    assert found.verdict.startswith("the order of the frames is used")
    used, helps = found.verdict.split("\n")
    assert used.endswith("2 of 2 classes need time by more than noise")
    assert helps.startswith("Recurrence helps: the macro accuracy of the model is +0.")
    assert "against mean_pool, the best control blind to order (95 % +0." in helps
    assert "12 groups); each control was trained once, with the settings of this run" in helps
    assert "2 of 2 classes need time" in found.verdict
    for row in found.per_class:
        assert row.need == pytest.approx(row.recall["ordered"] - row.recall["shuffled"])
        assert row.reversed_as != row.label
        assert row.need_interval is not None
        assert row.need_interval.low < row.need < row.need_interval.high


def test_a_gain_over_order_blind_heads_that_is_noise_is_called_so() -> None:
    said = judged(12, shuffled=0.5, blind=0.95).verdict
    assert "\nRecurrence is not told from noise: the macro accuracy" in said


def test_order_that_is_not_used_is_not_claimed() -> None:
    assert judged(12, shuffled=0.95, blind=0.95).verdict.startswith(
        "the order of the frames is not"
    )


@pytest.mark.parametrize("num_groups", [1, 5])
def test_few_groups_get_no_verdict_and_dashes_say_so(num_groups: int) -> None:
    found = judged(num_groups, shuffled=0.5, blind=0.5)
    few = f"({num_groups} of the 6 it takes)"
    used, helps = found.verdict.split("\n")
    assert used == f"too few groups to tell whether order is used {few}"
    assert helps.startswith(f"Too few groups to tell whether recurrence helps {few}: ")
    assert {row.needs_time for row in found.per_class} == {f"? ({num_groups} groups)"}
    texts = [
        cell.text for table in order_screen(found).tables for row in table.rows for cell in row
    ]
    assert (f"- ({num_groups} group only)" in texts) == (num_groups < 3)
    assert "-" not in texts
