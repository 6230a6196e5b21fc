"""Intervals hold what they say, with few groups too, and where nothing can be said they say why."""

import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot

from actionrnn.evaluation.figures import GroupedScores, mean_figures
from actionrnn.evaluation.intervals import (
    MIN_GROUPS,
    MIN_GROUPS_FOR_VERDICT,
    Interval,
    clopper_pearson,
    difference_interval,
    draw_weights,
    error_figure,
    figure,
    group_ids,
)
from actionrnn.evaluation.paired import exchanges, paired_differences

GROUPS = (3, 5, 10, 40)


def test_clips_without_a_group_are_groups_of_their_own() -> None:
    table = pd.DataFrame({"video_id": list("abcde"), "group": ["x", "", "x", "", "a"]})
    assert group_ids(table).tolist() == [0, 1, 0, 2, 3]


def test_draws_are_seeded_and_keep_the_number_of_groups() -> None:
    weights_RG = draw_weights(13, num_draws=450, seed=5)
    assert (weights_RG.sum(dim=1) == 13).all()
    assert torch.equal(weights_RG, draw_weights(13, num_draws=450, seed=5))
    assert not torch.equal(weights_RG, draw_weights(13, num_draws=450, seed=6))
    assert weights_RG.mean(dim=0).numpy() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("right", "clips"), [(0, 5), (5, 5), (7, 9), (400, 1000)])
def test_clopper_pearson_agrees_with_scipy(right: int, clips: int) -> None:
    expected = stats.binomtest(right, clips).proportion_ci(0.95, "exact")
    assert clopper_pearson(right / clips, clips) == pytest.approx((expected.low, expected.high))


def share_of(right_GC: Tensor) -> tuple[float, Interval | None]:
    """The share of clips that are right, and its interval; a row a group."""
    num_groups, clips = right_GC.shape
    draws_R = draw_weights(num_groups) @ right_GC.double().mean(dim=1) / num_groups
    found = figure(right_GC.double().mean().item(), draws_R, num_groups, num_groups * clips)
    return found.value, found.interval


@pytest.mark.parametrize("num_groups", [1, 2])
def test_too_few_groups_have_no_interval_and_the_reason_is_said(num_groups: int) -> None:
    draws_R = torch.rand(100).double()
    plural = "s" if num_groups > 1 else ""
    for found in (
        figure(0.5, draws_R, num_groups, 50),
        figure(0.5, draws_R, num_groups, 50, is_share=False),
        error_figure(0.1, draws_R, draws_R, num_groups),
    ):
        assert (found.interval, found.missing) == (None, f"{num_groups} group{plural} only")
    assert difference_interval(0.1, draws_R, num_groups) is None


@pytest.mark.parametrize("num_groups", [4, 10, 40])
def test_a_perfect_score_is_no_less_sure_than_one_mistake(num_groups: int) -> None:
    """It was: 0.398 to 1 for all right in four groups, 0.900 to 0.950 for a few mistakes."""
    right_GC = torch.ones(num_groups, 20)
    _, perfect = share_of(right_GC)
    right_GC[0, 0] = 0
    value, nearly = share_of(right_GC)
    assert perfect is not None
    assert nearly is not None
    assert nearly.low < value < nearly.high
    assert nearly.low < perfect.low < 1.0 == perfect.high
    assert perfect.low - nearly.low < 0.2


def test_more_groups_with_the_same_scores_say_more() -> None:
    widths = []
    for num_groups in (3, 4, 6, 12, 40):
        right_GC = torch.ones(num_groups, 20)
        right_GC[:, :4] = 0
        _, bounds = share_of(right_GC)
        assert bounds is not None
        widths.append(bounds.high - bounds.low)
    assert widths == sorted(widths, reverse=True)


def test_f1_and_auc_borrow_no_bound_of_counts_where_nothing_varies() -> None:
    found = figure(1.0, torch.ones(100).double(), 40, 400, is_share=False)
    assert (found.interval, found.missing) == (None, "all samples give 1.000")
    assert figure(1.0, torch.ones(100).double(), 40, 400).interval is not None


def test_no_interval_is_made_of_draws_that_are_not_finite() -> None:
    none_R = torch.full((10,), float("nan"))
    assert error_figure(0.1, none_R, none_R, 5).missing == "no clip has a confidence"
    assert difference_interval(0.1, none_R, 5) is None


def test_an_exact_sign_flip_test_of_fewer_groups_could_never_be_sure() -> None:
    least = {groups: 1 / len(exchanges(groups)) for groups in (2, MIN_GROUPS_FOR_VERDICT - 1, 6)}
    assert least == {2: 0.5, 5: 2**-4, 6: 2**-5}
    assert least[MIN_GROUPS_FOR_VERDICT - 1] > 0.05 >= least[MIN_GROUPS_FOR_VERDICT]
    assert MIN_GROUPS <= MIN_GROUPS_FOR_VERDICT
    rows = exchanges(7)
    assert len(rows.unique(dim=0)) == len(rows) == 64
    assert not (rows[:, None] == 1 - rows[None]).all(dim=2).any()  # none is another's mirror


@pytest.mark.parametrize("num_groups", GROUPS)
@pytest.mark.parametrize("correlation", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("truth", [0.7, 0.95])
def test_intervals_of_shares_cover_where_clips_of_a_group_share_their_fate(
    num_groups: int, correlation: float, truth: float
) -> None:
    """200 simulated test sets of groups of 10 clips; at least 93 % are to cover the truth."""
    spread = 1 / correlation - 1
    torch.manual_seed(num_groups)
    hard = torch.distributions.Beta(truth * spread, (1 - truth) * spread)
    right_SG = torch.binomial(torch.full((200, num_groups), 10.0), hard.sample((200, num_groups)))
    draws_SR = (right_SG.double() @ draw_weights(num_groups, 500).T) / (10 * num_groups)
    covered = 0
    for right_G, draws_R in zip(right_SG, draws_SR, strict=True):
        value = right_G.double().mean().item() / 10
        bounds = figure(value, draws_R, num_groups, 10 * num_groups).interval
        assert bounds is not None
        covered += bounds.low <= truth <= bounds.high
    assert covered / 200 >= 0.93


def world(num_groups: int, seed: int) -> list[GroupedScores]:
    """Two models on groups of 10 clips of 4 classes; how hard a group is is the same for both."""
    generator = torch.Generator().manual_seed(seed)
    num_clips = 10 * num_groups
    group_N = torch.arange(num_groups).repeat_interleave(10)
    target_N = torch.randint(4, (num_clips,), generator=generator)
    own_NK = one_hot(target_N, 4).double()
    hard_G, liking_G = 0.8 * torch.randn(2, num_groups, generator=generator)
    noise = torch.randn(num_clips, 4, generator=generator)
    other = 0.7 * noise + 0.7 * torch.randn(num_clips, 4, generator=generator)
    first = noise + own_NK * (1.2 + hard_G[group_N])[:, None]
    second = other + own_NK * (1.7 + hard_G[group_N] + liking_G[group_N] / 2)[:, None]
    return [GroupedScores.of(each[:, None], target_N, group_N) for each in (first, second)]


@pytest.fixture(scope="module")
def truths() -> list[dict[str, float]]:
    """The figures of both models on a test set without end."""
    once_1G = torch.ones(1, 1500).double()
    return [{k: v.item() for k, v in each.figures(once_1G).items()} for each in world(1500, 99999)]


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", GROUPS)
def test_intervals_of_every_headline_figure_cover(
    num_groups: int, truths: list[dict[str, float]]
) -> None:
    covered: dict[str, list[bool]] = {}
    for seed in range(60):
        first, _ = world(num_groups, seed)
        for key, found in mean_figures([first], 10 * num_groups).items():
            assert found.interval is not None or found.missing
            if found.interval:
                inside = found.interval.low <= truths[0][key] <= found.interval.high
                covered.setdefault(key, []).append(inside)
    assert set(covered) == {"accuracy", "macro_accuracy", "macro_f1", "auc", "ece"}
    for key, each in covered.items():
        assert sum(each) / len(each) >= 0.92, key


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", GROUPS)
def test_intervals_of_differences_cover_and_verdicts_wait_for_groups(
    num_groups: int, truths: list[dict[str, float]]
) -> None:
    covered: dict[str, list[bool]] = {}
    verdicts: set[str] = set()
    for seed in range(40 if num_groups == 40 else 100):
        found = paired_differences(*([each] for each in world(num_groups, seed)))
        for key in ("accuracy", "macro_accuracy", "macro_f1", "auc"):
            bounds = found[key].interval
            assert bounds is not None
            inside = bounds.low <= truths[1][key] - truths[0][key] <= bounds.high
            covered.setdefault(key, []).append(inside)
            verdicts.add(found[key].verdict)
    for key, each in covered.items():
        assert sum(each) / len(each) >= 0.88, key  # 0.92 to 0.97 over 400 of accuracy
    assert verdicts == {"?"} if num_groups < MIN_GROUPS_FOR_VERDICT else "?" not in verdicts
    assert "worse" not in verdicts


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", [6, 10, 40])
def test_a_verdict_on_models_that_are_alike_is_wrong_in_one_of_twenty(num_groups: int) -> None:
    wrong = 0
    for seed in range(100):
        first, _ = world(num_groups, seed)
        generator = torch.Generator().manual_seed(10_000 + seed)
        noise = 0.5 * torch.randn(2, *first.logits_NK.shape, generator=generator).double()
        alike = [
            GroupedScores.of((first.logits_NK + each)[:, None], first.target_N, first.group_N)
            for each in noise
        ]
        found = paired_differences(alike[:1], alike[1:])["accuracy"]
        wrong += found.verdict in ("better", "worse")
    assert wrong <= 10  # 5 are expected; more than 10 in 1 of 100 times
