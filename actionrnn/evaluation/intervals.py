"""How far a figure would move with another sample of recordings, and where that cannot be said.

Clips of one recording are no independent evidence: whole groups are drawn, with replacement, and
what the draws say is read with Student's t for the number of groups. Few groups tell little, and
below `MIN_GROUPS` and `MIN_GROUPS_FOR_VERDICT` nothing is said at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from scipy import stats
from torch import Tensor

NUM_DRAWS = 2000
LEVEL = 0.95
# Two groups leave one degree of freedom: an interval from 0 to 1, whatever they say.
MIN_GROUPS = 3
# With G groups an exact sign-flip test cannot go below p = 2^(1 - G): 0.0625 with five.
MIN_GROUPS_FOR_VERDICT = 6
_DRAWS_AT_ONCE = 200


class Interval(NamedTuple):
    """The values that the data leaves open at a confidence of 95 %."""

    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """A value, its interval, and why there is none where there is none."""

    value: float
    interval: Interval | None
    missing: str = ""


def how_sure(figures: Mapping[str, Figure], num_draws: int = NUM_DRAWS) -> dict[str, Any]:
    """The intervals of figures as plain data, `[low, high]` or null, and how they were made."""
    return {
        "intervals": {k: each.interval and list(each.interval) for k, each in figures.items()},
        "no_interval": {key: each.missing for key, each in figures.items() if each.missing},
        "bootstrap": {"level": LEVEL, "draws": num_draws, "unit": "group", "seed": 0},
    }


def group_ids(table: pd.DataFrame) -> Tensor:
    """Which group each clip of a predictions table belongs to, int64 (N,), 0 <= id < G.

    A clip without a group is a group of its own.
    """
    alone = "\0" + table["video_id"].astype(str)
    named = table["group"].astype(str)
    codes, _ = pd.factorize(named.where((named != "").to_numpy(), alone))
    return torch.from_numpy(codes).long()


def once(num_groups: int) -> Tensor:
    """Weights that give the figures of the clips as they are, float64 (1, G)."""
    return torch.ones(1, num_groups, dtype=torch.float64)


def draw_weights(num_groups: int, num_draws: int = NUM_DRAWS, seed: int = 0) -> Tensor:
    """How often each group is in each bootstrap sample, float64 (R, G); rows sum to G."""
    generator = torch.Generator().manual_seed(seed)
    weights_RG = torch.zeros(num_draws, num_groups, dtype=torch.float64)
    for start in range(0, num_draws, _DRAWS_AT_ONCE):
        some_RG = weights_RG[start : start + _DRAWS_AT_ONCE]
        drawn = torch.randint(num_groups, tuple(some_RG.shape), generator=generator)
        some_RG.scatter_add_(1, drawn, torch.ones_like(some_RG))
    return weights_RG


def figure(
    value: float, draws_R: Tensor, num_groups: int, num_clips: int, is_share: bool = True
) -> Figure:
    """A figure between 0 and 1, the larger the better, with its interval.

    That of Clopper and Pearson (1934) for an effective number of clips, after Korn and Graubard
    (Survey Methodology 24, 1998): as many independent clips as would vary like the draws. What few
    groups do not show is not taken as absent: one more group is assumed that varies as much as a
    figure between 0 and 1 can. Scores (F1, AUC) are no counts of clips: where all draws agree
    they have no interval.

    Args:
        value: the figure of the clips as they are.
        draws_R: the figure in each bootstrap sample; those that are not finite are left out.
        num_groups: how many groups the clips of this figure come from.
        num_clips: how many clips it is made of.
        is_share: it is a share of clips, or a mean of such shares.
    """
    draws_R = draws_R[draws_R.isfinite()]
    missing = too_few(num_groups)
    if not missing and not is_share and (not 0 < value < 1 or draws_R.var().item() == 0):
        missing = f"all samples give {value:.3f}"
    if missing:
        return Figure(value, None, missing)
    variance = _variance(draws_R, num_groups)
    least = 1 / num_clips if is_share else 0.0
    spread = max(variance / (value * (1 - value)) if 0 < value < 1 else 0.0, least)
    effective = num_groups / ((num_groups - 1) * spread + 1 / num_groups)
    return Figure(value, clopper_pearson(value, _as_if_t(min(effective, num_clips), num_groups)))


def error_figure(value: float, draws_R: Tensor, noise_R: Tensor, num_groups: int) -> Figure:
    """A calibration error, 0 to 1, with its interval.

    Noise alone makes gaps between confidence and accuracy, so that a measured error is too large,
    by at most what it would be for a model without any. The lower end allows for that.

    Args:
        value: the error of the clips as they are.
        draws_R: the error in each bootstrap sample.
        noise_R: what noise alone gives there; see `Tallies.calibration_noise`.
        num_groups: how many groups the clips come from.
    """
    draws_R, noise_R = draws_R[draws_R.isfinite()], noise_R[noise_R.isfinite()]
    missing = too_few(num_groups)
    if not missing and len(draws_R) < 2:
        missing = "no clip has a confidence"
    if missing:
        return Figure(value, None, missing)
    half = _t(num_groups - 1) * _variance(draws_R, num_groups) ** 0.5
    bias = noise_R.mean().item() * (num_groups / (num_groups - 1)) ** 0.5
    return Figure(value, Interval(max(0.0, value - bias - half), min(1.0, value + half)))


def too_few(num_groups: int) -> str:
    """Why so few groups give no interval; empty if they do."""
    if num_groups >= MIN_GROUPS:
        return ""
    return f"{num_groups} group{'s' if num_groups != 1 else ''} only"


def clopper_pearson(share: float, num_clips: float) -> Interval:
    """The exact binomial interval of a share; the number need not be whole."""
    right, tail = share * num_clips, (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, right, num_clips - right + 1) if share > 0 else 0.0
    high = stats.beta.ppf(1 - tail, right + 1, num_clips - right) if share < 1 else 1.0
    return Interval(float(low), float(high))


def difference_interval(
    value: float, draws_R: Tensor, num_groups: int, least: float = -1.0, most: float = 1.0
) -> Interval | None:
    """The interval of a difference or a ratio: Student's t on the spread of the draws.

    `least` and `most` are what it can be.

    None with fewer than `MIN_GROUPS` groups, or where no draw has the figure.
    """
    draws_R = draws_R[draws_R.isfinite()]
    if num_groups < MIN_GROUPS or len(draws_R) < 2:
        return None
    half = _t(num_groups - 1) * _variance(draws_R, num_groups) ** 0.5
    return Interval(max(least, value - half), min(most, value + half))


def rate_interval(count: int, seconds: float, draws_R: Tensor, num_groups: int) -> Interval | None:
    """The interval of events per hour: at least that of Poisson counts (Garwood, 1936).

    Where recordings differ by more than chance it is as wide as they differ. None with fewer than
    `MIN_GROUPS` groups.

    Args:
        count: events.
        seconds: watched.
        draws_R: events per hour in each bootstrap sample.
        num_groups: how many recordings there are.
    """
    spread = difference_interval(count * 3600 / seconds, draws_R, num_groups, 0.0, float("inf"))
    if spread is None:
        return None
    tail = (1 - LEVEL) / 2
    hours = seconds / 3600
    low = float(stats.chi2.ppf(tail, 2 * count)) / 2 / hours if count else 0.0
    high = float(stats.chi2.ppf(1 - tail, 2 * count + 2)) / 2 / hours
    return Interval(min(spread.low, low), max(spread.high, high))


def _as_if_t(effective: float, num_groups: int) -> float:
    """So many clips fewer that a normal quantile becomes that of t with G degrees."""
    return effective * (float(stats.norm.ppf((1 + LEVEL) / 2)) / _t(num_groups)) ** 2


def _variance(draws_R: Tensor, num_groups: int) -> float:
    """That of the figure: draws of G groups vary as a spread with G - 1 degrees of freedom."""
    return draws_R.var().item() * num_groups / (num_groups - 1)


def _t(degrees: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, degrees))
