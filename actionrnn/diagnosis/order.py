"""Does the model use the order of the frames, and which classes need it?

The same clips are scored again with their frames shuffled, reversed, frozen and thinned out, and
two heads that cannot use order are trained on the same features. Figures are macro accuracies:
every class counts the same, and guessing gives 1 / K.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from actionrnn.diagnosis.baselines import train_head
from actionrnn.diagnosis.frame_order import (
    Change,
    frames_in_span,
    freeze,
    reverse,
    shuffle,
    subsample,
)
from actionrnn.evaluation.bootstrap import Tallies, draw_weights, group_ids, interval
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.data import Subset
from actionrnn.training.metrics import predictions
from actionrnn.training.recognizer import clip_logits

NUM_SHUFFLES = 5
BASELINES = {"mean_pool": "baseline: mean of frames", "single_frame": "baseline: middle frame"}
_PER_CLASS = ("shuffled", "reversed", "frozen", "mean_pool", "single_frame")


def diagnose_order(run: TrainedModel, subset: Subset = "test") -> dict[str, Any]:
    """Score a part of the split under every order, with intervals over groups; plain data.

    Returns:
        `conditions` (each with `macro_accuracy`, `interval`, its `difference` to the frames in
        order, and `difference_interval`), `per_class` (recall under each; `need`, what shuffling
        costs; `needs_time`, whether that is more than noise; under reversal the class predicted
        most, and its share), `verdict`.
    """
    tables = {
        "ordered": ("in order", [run.score(subset)]),
        "shuffled": (
            f"shuffled ({NUM_SHUFFLES} times)",
            [run.score(subset, shuffle(seed)) for seed in range(NUM_SHUFFLES)],
        ),
        "reversed": ("reversed", [run.score(subset, reverse)]),
        "frozen": ("frozen to the middle one", [run.score(subset, freeze)]),
        "every_2nd": ("every 2nd", [run.score(subset, subsample(2))]),
        "every_4th": ("every 4th", [run.score(subset, subsample(4))]),
    }
    inside_NVT = frames_in_span(run.data.part(subset), run.data.store)
    if inside_NVT is not None:
        tables["inside"] = ("shuffled in the decisive span", _spans(run, subset, inside_NVT))
        tables["outside"] = ("shuffled outside of the span", _spans(run, subset, ~inside_NVT))
    for head, title in BASELINES.items():
        tables[head] = (title, [train_head(run, head=head).model.score(subset)])
    return _judge(run, subset, tables)


def _spans(run: TrainedModel, subset: Subset, among_NVT: Tensor) -> list[Tensor]:
    changes: Sequence[Change] = [shuffle(seed, among_NVT) for seed in range(NUM_SHUFFLES)]
    return [run.score(subset, change) for change in changes]


def _judge(
    run: TrainedModel, subset: Subset, tables: dict[str, tuple[str, list[Tensor]]]
) -> dict[str, Any]:
    target_N, group_N = run.targets(subset), group_ids(run.data.part(subset).table)
    num_groups = int(group_N.max()) + 1
    weights_RG = draw_weights(num_groups)
    once_1G = torch.ones(1, num_groups, dtype=torch.float64)

    def recall(logits: list[Tensor], weights: Tensor) -> Tensor:
        tallies = [Tallies.of(each, clip_logits(each), target_N, group_N) for each in logits]
        return torch.stack([one.recall(weights) for one in tallies]).mean(dim=0)

    values = {key: recall(logits, once_1G)[0] for key, (_, logits) in tables.items()}
    draws = {key: recall(logits, weights_RG) for key, (_, logits) in tables.items()}
    conditions = [
        {
            "key": key,
            "title": title,
            "macro_accuracy": values[key].nanmean().item(),
            "interval": interval(draws[key].nanmean(dim=1), num_groups),
            "difference": (values[key] - values["ordered"]).nanmean().item(),
            "difference_interval": interval(
                (draws[key] - draws["ordered"]).nanmean(dim=1), num_groups, is_share=False
            ),
        }
        for key, (title, _) in tables.items()
    ]
    reversed_preds_N = predictions(clip_logits(tables["reversed"][1][0]))
    result = {
        "subset": subset,
        "num_clips": len(target_N),
        "num_groups": num_groups,
        "leaked": run.data.leaked,
        "chance": 1 / len(run.class_names),
        "conditions": conditions,
        "per_class": [
            {
                "label": name,
                "clips": int((target_N == k).sum()),
                "ordered": values["ordered"][k].item(),
                **{key: values[key][k].item() for key in _PER_CLASS},
                **_need(values, draws, k, num_groups),
                **_partner(reversed_preds_N[target_N == k], run.class_names),
            }
            for k, name in enumerate(run.class_names)
            if (target_N == k).any()
        ],
    }
    return {**result, "verdict": verdict(result)}


def _need(
    values: dict[str, Tensor], draws: dict[str, Tensor], k: int, num_groups: int
) -> dict[str, Any]:
    """What shuffling costs a class, and whether that is more than noise."""
    difference_R = draws["ordered"][:, k] - draws["shuffled"][:, k]
    bounds = interval(difference_R, num_groups, is_share=False)
    return {
        "need": (values["ordered"] - values["shuffled"])[k].item(),
        "need_interval": bounds,
        "needs_time": bool(bounds and bounds.low > 0),
    }


def _partner(preds_M: Tensor, names: list[str]) -> dict[str, Any]:
    """The class that most of a class's clips are taken for when they run backwards."""
    counts_K = preds_M[preds_M < len(names)].bincount(minlength=len(names))
    share = counts_K.max().item() / len(preds_M)
    return {"reversed_as": names[int(counts_K.argmax())], "reversed_as_share": share}


def need_in_words(row: dict[str, Any]) -> str:
    """`yes`, `noise`, or that a class is better off shuffled."""
    bounds = row["need_interval"]
    if bounds is not None and bounds[1] < 0:
        return "better shuffled"
    return "yes" if row["needs_time"] else "noise"


def verdict(result: dict[str, Any]) -> str:
    """What the figures say, in words."""
    by_key = {condition["key"]: condition for condition in result["conditions"]}
    shuffled = by_key["shuffled"]
    bounds = shuffled["difference_interval"]
    if bounds is None:
        return "one group alone cannot tell whether order is used"
    if bounds[1] >= 0:
        return "the order of the frames is not used, or no more than noise shows"
    needy = [row["label"] for row in result["per_class"] if row["needs_time"]]
    best = max(by_key[key]["macro_accuracy"] for key in BASELINES)
    gain = by_key["ordered"]["macro_accuracy"] - best
    return (
        f"the order of the frames is used: shuffling them costs {-shuffled['difference']:.3f} of "
        f"macro accuracy, and the model is {gain:+.3f} against the better baseline without "
        f"order; {len(needy)} of {len(result['per_class'])} classes need time by more than noise"
    )
