"""Is one model better than another on the same clips, by more than noise? The one place that says.

Two models, or a model under two conditions, are weighed with the same bootstrap samples of groups,
so that what is hard about a group is hard for both and cancels. A verdict needs more: if the two
were alike, exchanging their scores within any groups would change nothing (an exact sign-flip
test). It is given where at most 5 % of these exchanges make as large a difference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from actionrnn.errors import DataRejected
from actionrnn.evaluation.figures import (
    LOWER_IS_BETTER,
    GroupedScores,
    grouped,
    mean_over_runs,
)
from actionrnn.evaluation.intervals import (
    LEVEL,
    MIN_GROUPS_FOR_VERDICT,
    Interval,
    difference_interval,
    draw_weights,
    once,
)
from actionrnn.evaluation.predictions import Predictions

Verdict = Literal["better", "worse", "noise", "?"]
Figures = Callable[[GroupedScores, Tensor], Mapping[str, Tensor]]

# Up to so many groups every exchange is tried; of more, as many at random.
_MAX_EXACT_GROUPS = 11
_NUM_EXCHANGES = 2000
_NAMED = 5


@dataclass(frozen=True)
class Difference:
    """A figure of two models, paired.

    Attributes:
        first, second: the figure of each; the mean, of several runs.
        difference: second - first.
        interval: of the difference; None where groups are too few.
        p: share of the exchanges that make as large a difference.
        num_groups: how many groups its clips come from.
        verdict: the second is `better`, `worse`, the difference is `noise`, or `?`: with fewer
            than `MIN_GROUPS_FOR_VERDICT` groups it cannot be told.
    """

    first: float
    second: float
    difference: float
    interval: Interval | None
    p: float
    num_groups: int
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips (of one split, or of the same folds and seeds).

    Attributes:
        first, second: what they are called.
        num_clips, num_groups: what both were scored on.
        only_first_right, only_second_right: clips that one alone has right.
        leaked: one of them is.
        figures: every headline figure that both have.
    """

    first: str
    second: str
    num_clips: int
    num_groups: int
    only_first_right: int
    only_second_right: int
    leaked: bool
    figures: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def compare(
    first: Sequence[Predictions], second: Sequence[Predictions], names: tuple[str, str]
) -> Comparison:
    """Paired differences `second - first` of every headline figure.

    Args:
        first: one table; or several (folds, seeds), of which the mean is compared.
        second: as many, each of the same clips as its fellow.
        names: what to call the two.

    Raises:
        DataRejected: see `same_clips`.
    """
    second = [same_clips(a, b, names) for a, b in zip(first, second, strict=True)]
    scores = grouped([*first, *second])
    halves = scores[: len(first)], scores[len(first) :]
    right = [
        (a.table["correct"].to_numpy(bool), b.table["correct"].to_numpy(bool))
        for a, b in zip(first, second, strict=True)
    ]
    return Comparison(
        *names,
        num_clips=sum(len(each.table) for each in first),
        num_groups=scores[0].num_groups,
        only_first_right=sum(int((a & ~b).sum()) for a, b in right),
        only_second_right=sum(int((~a & b).sum()) for a, b in right),
        leaked=any(each.leaked for each in (*first, *second)),
        figures=paired_differences(*halves),
    )


def paired_differences(
    first: Sequence[GroupedScores],
    second: Sequence[GroupedScores],
    figures: Figures = GroupedScores.figures,
    num_groups: Mapping[str, int] | None = None,
) -> dict[str, Difference]:
    """The paired differences of some figures, each the mean over runs.

    Args:
        first, second: the runs; all have the same numbering of groups, and the runs of one place
            the same clips.
        figures: computes them from scores and weights.
        num_groups: how many groups the clips of a figure come from, where not from all.
    """
    total = first[0].num_groups
    draws_RG, exchanged_SG = draw_weights(total), exchanges(total)
    one_1G, kept_SG = once(total), 1 - exchanged_SG
    both = [a.beside(b) for a, b in zip(first, second, strict=True)]

    def mean(weights_RG: Tensor, other_RG: Tensor) -> dict[str, Tensor]:
        weights = torch.cat([weights_RG, other_RG], dim=1)
        each = [figures(scores, weights) for scores in both]
        keys = [key for key in each[0] if all(key in other for other in each)]
        return {key: mean_over_runs(both, [v[key] for v in each], weights) for key in keys}

    pairs = [(one_1G, 0 * one_1G), (draws_RG, 0 * draws_RG), (kept_SG, exchanged_SG)]
    of_first = [mean(here, there) for here, there in pairs]
    of_second = [mean(there, here) for here, there in pairs]
    return {
        key: _difference(
            key,
            [each[key] for each in of_first],
            [each[key] for each in of_second],
            (num_groups or {}).get(key, total),
        )
        for key in of_first[0]
    }


def _difference(
    key: str, first: Sequence[Tensor], second: Sequence[Tensor], num_groups: int
) -> Difference:
    """One figure's difference, from its value, its draws and its exchanges in either half."""
    a, b = first[0].item(), second[0].item()
    difference = b - a
    bounds = difference_interval(difference, second[1] - first[1], num_groups)
    by_exchange_S = (second[2] - first[2]).abs()
    by_exchange_S = by_exchange_S[by_exchange_S.isfinite()]
    as_large_S = by_exchange_S >= abs(difference) - 1e-9
    p = as_large_S.double().mean().item() if len(as_large_S) else 1.0
    verdict: Verdict = "noise"
    if num_groups < MIN_GROUPS_FOR_VERDICT or bounds is None:
        verdict = "?"
    elif p <= 1 - LEVEL + 1e-9 and not bounds.low <= 0 <= bounds.high:
        verdict = "better" if (difference < 0) == (key in LOWER_IS_BETTER) else "worse"
    return Difference(a, b, difference, bounds, p, num_groups, verdict)


def exchanges(num_groups: int, seed: int = 0) -> Tensor:
    """In which groups two models change places, float64 0 or 1, (S, G); in the first, in none.

    All that differ, up to 11 groups: to change every group is the same as none, so there are
    2^(G - 1). Beyond that 2,000 at random.
    """
    if num_groups <= _MAX_EXACT_GROUPS:
        rows = [(*row, 0.0) for row in product((0.0, 1.0), repeat=num_groups - 1)]
        return torch.tensor(rows, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    exchanged_SG = torch.randint(2, (_NUM_EXCHANGES, num_groups), generator=generator).double()
    exchanged_SG[0] = 0.0
    return exchanged_SG


def same_clips(first: Predictions, second: Predictions, names: tuple[str, str]) -> Predictions:
    """`second` with its rows in the order of `first`.

    Args:
        first: the reference.
        second: the other table.
        names: what to call them in an error.

    Raises:
        DataRejected: if they hold other clips, labels, groups or classes, naming them.
    """
    a, b = first.table.set_index("video_id"), second.table.set_index("video_id")
    for here, other, name in ((a, b, names[0]), (b, a, names[1])):
        alone = sorted(set(here.index) - set(other.index))
        if alone:
            raise DataRejected(
                f"{names[0]} and {names[1]} scored different clips: {len(alone)} of "
                f"{len(here)} are in {name} alone ({_named(alone)}). Test both on the same split: "
                f"actionrnn test --ckpt_path ... --data.split ... --data.subset ..."
            )
    if first.class_names != second.class_names:
        differing = sorted(set(first.class_names) ^ set(second.class_names)) or ["their order"]
        raise DataRejected(f"{names[0]} and {names[1]} differ in classes: {_named(differing)}")
    b = b.loc[a.index]
    for column in ("label", "group"):
        differing = a.index[(a[column] != b[column]).to_numpy()].tolist()
        if differing:
            raise DataRejected(
                f"{names[0]} and {names[1]} give other {column}s to {len(differing)} clips "
                f"({_named(differing)}): they were made from different manifests"
            )
    return Predictions(b.reset_index(), second.class_names, second.leaked, second.about)


def short_names(paths: list[Path]) -> list[str]:
    """The paths without the folders they all share, so that a table stays narrow."""
    parts = [path.resolve().parts for path in paths]
    while len({each[0] for each in parts}) == 1 and all(len(each) > 1 for each in parts):
        parts = [each[1:] for each in parts]
    while len({each[-1] for each in parts}) == 1 and all(len(each) > 1 for each in parts):
        parts = [each[:-1] for each in parts]
    return ["/".join(each) for each in parts]


def _named(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
