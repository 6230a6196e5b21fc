"""Is one model better than another on the same clips, by more than noise?"""

from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from actionrnn.errors import DataRejected
from actionrnn.evaluation.bootstrap import draw_weights, group_ids, interval
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import (
    HEADLINES,
    headline_figures,
    interval_note,
    plain_console,
)

_LOWER_IS_BETTER = ("ece",)
_NAMED = 5


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


def compare(first: Predictions, second: Predictions, names: tuple[str, str]) -> dict[str, Any]:
    """Paired differences `second - first` of every headline figure, as plain data.

    Both are weighed with the same bootstrap samples of groups, so what is hard about a group
    is hard for both and cancels.

    Raises:
        DataRejected: see `same_clips`.
    """
    second = same_clips(first, second, names)
    num_groups = int(group_ids(first.table).max()) + 1
    once_1G = torch.ones(1, num_groups, dtype=torch.float64)
    weights_RG = draw_weights(num_groups) if num_groups > 1 else once_1G
    values = [headline_figures(each, once_1G) for each in (first, second)]
    draws = [headline_figures(each, weights_RG) for each in (first, second)]
    figures = {}
    for key in (key for key in values[0] if key in values[1]):
        bounds = interval(draws[1][key] - draws[0][key], num_groups, is_share=False)
        a, b = values[0][key].item(), values[1][key].item()
        figures[key] = {
            "first": a,
            "second": b,
            "difference": b - a,
            "interval": list(bounds) if bounds else None,
            "more_than_noise": bool(bounds and (bounds.low > 0 or bounds.high < 0)),
        }
    correct = first.table["correct"].to_numpy(), second.table["correct"].to_numpy()
    return {
        "first": names[0],
        "second": names[1],
        "num_clips": len(first.table),
        "num_groups": num_groups,
        "only_first_right": int((correct[0] & ~correct[1]).sum()),
        "only_second_right": int((~correct[0] & correct[1]).sum()),
        "leaked": first.leaked or second.leaked,
        "figures": figures,
    }


def verdict(key: str, comparison: dict[str, Any]) -> str:
    """One figure's difference in a word: B is `better` or `worse`, or it is `noise`, or `?`."""
    figure = comparison["figures"][key]
    if figure["interval"] is None:
        return "?"
    if not figure["more_than_noise"]:
        return "noise"
    return "better" if (figure["difference"] < 0) == (key in _LOWER_IS_BETTER) else "worse"


def sentences(comparison: dict[str, Any]) -> list[str]:
    """The verdicts in words, one line for each kind."""
    words = {
        "better": "B is better, by more than noise, in",
        "worse": "B is worse, by more than noise, in",
        "noise": "no more than noise:",
        "?": "one group alone cannot tell a difference from noise:",
    }
    found = {key: verdict(key, comparison) for key in comparison["figures"]}
    return [
        f"{start} {', '.join(HEADLINES[key] for key, kind in found.items() if kind == word)}"
        for word, start in words.items()
        if word in found.values()
    ]


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print what `compare` gave on stdout."""
    console = plain_console()
    console.print(f"A  {comparison['first']}\nB  {comparison['second']}")
    table = Table("figure", "A", "B", "B - A", "95 % interval", "verdict")
    for key, figure in comparison["figures"].items():
        table.add_row(
            HEADLINES[key],
            f"{figure['first']:.3f}",
            f"{figure['second']:.3f}",
            f"{figure['difference']:+.3f}",
            signed_interval(figure["interval"]),
            verdict(key, comparison),
        )
    console.print(table)
    console.print("\n".join(sentences(comparison)))
    console.print(
        f"of {comparison['num_clips']} clips, {comparison['only_first_right']} are right in A "
        f"alone and {comparison['only_second_right']} in B alone\n"
        f"{interval_note(comparison)}"
    )
    if comparison["leaked"]:
        console.print("LEAKED: a run was tested on recordings it was trained on", style="bold red")


def signed_interval(bounds: list[float] | None) -> str:
    """`-0.012 to +0.034`, or a dash."""
    return f"{bounds[0]:+.3f} to {bounds[1]:+.3f}" if bounds else "-"


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
