"""Does the model use the order of the frames, and which classes need it?

The same clips are scored again with their frames shuffled, reversed, frozen and thinned out, and
the heads that cannot use order are trained on the same features. Figures are macro accuracies:
every class counts the same, and guessing gives 1 / K.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actionrnn.diagnosis.baselines import train_head
from actionrnn.diagnosis.frame_order import frames_in_span, freeze, reverse, shuffle, subsample
from actionrnn.diagnosis.recurrence import in_words
from actionrnn.evaluation.figures import GroupedScores
from actionrnn.evaluation.intervals import (
    MIN_GROUPS_FOR_VERDICT,
    Interval,
    draw_weights,
    figure,
)
from actionrnn.evaluation.paired import Difference, Verdict, paired_differences
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.models.config import HEADS, NUM_PROBE_HEADS, HeadConfig
from actionrnn.training.action_data import Subset
from actionrnn.training.metrics import predictions

NUM_SHUFFLES = 5
EFFORT = (
    "each control was trained once, with the settings of this run: if those were searched for it, "
    "it had the greater effort; `actionrnn compare --backbones` gives every head as many trials"
)
OPPOSITE: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
_MACRO = ""  # no class is called so


@dataclass(frozen=True)
class Condition:
    """The clips under one order of frames, or in the eyes of a head that cannot use any.

    Attributes:
        key, title: of the condition; the model with frames in order is `ordered`.
        order_blind: another head, trained on the same features, `features` alone.
        macro_accuracy, interval: of it.
        difference, difference_interval, verdict: to the model with frames in order.
    """

    key: str
    title: str
    order_blind: bool
    macro_accuracy: float
    interval: Interval | None
    difference: float
    difference_interval: Interval | None
    verdict: Verdict


@dataclass(frozen=True)
class ClassOrder:
    """How much one class needs order.

    Attributes:
        label, clips, groups: the class and its clips.
        recall: its accuracy under each condition, by key.
        need: what shuffling costs; `need_interval` and `needs_time` (`yes`, `noise`, `better
            shuffled`, or that there are too few groups to tell) say how sure that is.
        reversed_as, reversed_as_share: the class most of its clips are taken for when they run
            backwards, and their share.
    """

    label: str
    clips: int
    groups: int
    recall: dict[str, float]
    need: float
    need_interval: Interval | None
    needs_time: str
    reversed_as: str
    reversed_as_share: float


@dataclass(frozen=True)
class OrderDiagnosis:
    """A part of the split under every order."""

    subset: str
    num_clips: int
    num_groups: int
    leaked: bool
    chance: float
    conditions: list[Condition]
    per_class: list[ClassOrder]
    verdict: str


def diagnose_order(run: TrainedModel, subset: Subset = "test") -> OrderDiagnosis:
    """Score a part of the split under every order, with intervals over groups."""
    scored = {
        "ordered": ("in order", [run.score(subset)]),
        "shuffled": (f"shuffled ({NUM_SHUFFLES} times)", _shuffled(run, subset)),
        "reversed": ("reversed", [run.score(subset, reverse)]),
        "frozen": ("frozen to the middle one", [run.score(subset, freeze)]),
        "every_2nd": ("every 2nd", [run.score(subset, subsample(2))]),
        "every_4th": ("every 4th", [run.score(subset, subsample(4))]),
    }
    inside_NVT = frames_in_span(run.data.part(subset), run.data.store)
    if inside_NVT is not None:
        scored["inside"] = ("shuffled in the decisive span", _shuffled(run, subset, inside_NVT))
        scored["outside"] = ("shuffled outside of the span", _shuffled(run, subset, ~inside_NVT))
    for head in order_blind_heads(run.recognizer.head_config, run.data.store.spec.num_cells):
        title = f"order-blind: {HEADS[head].title}"
        scored[head] = (title, [train_head(run, head=head).score(subset)])
    titles = {key: title for key, (title, _) in scored.items()}
    runs = {
        key: [run.grouped(subset, each) for each in logits] for key, (_, logits) in scored.items()
    }
    recurs = run.recognizer.head_config.recurs
    return judge_order(runs, titles, run.class_names, subset, run.data.leaked, recurs)


def order_blind_heads(config: HeadConfig, num_cells: int) -> list[str]:
    """The controls that are blind to order and can be trained with the settings of a run."""
    has_queries = config.hidden_size % NUM_PROBE_HEADS == 0
    wanted = {"attentive_probe": has_queries, "token_probe": has_queries and num_cells > 1}
    return [name for name, each in HEADS.items() if each.order_blind and wanted.get(name, True)]


def _shuffled(run: TrainedModel, subset: Subset, among_NVT: Tensor | None = None) -> list[Tensor]:
    return [run.score(subset, shuffle(seed, among_NVT)) for seed in range(NUM_SHUFFLES)]


def judge_order(
    runs: Mapping[str, Sequence[GroupedScores]],
    titles: Mapping[str, str],
    class_names: list[str],
    subset: str,
    leaked: bool,
    recurs: bool = True,
) -> OrderDiagnosis:
    """What the scores say.

    Args:
        runs: of each condition, one or several; `ordered`, `shuffled` and `reversed` must be there.
        titles: of the conditions.
        class_names: in the order of the scores.
        subset: name of the part.
        leaked: clips were trained on.
        recurs: the model is recurrent, so that it is asked whether that helps.
    """
    (ordered,) = runs["ordered"]
    groups_K = (ordered.tallies.support_GK > 0).sum(dim=0).tolist()
    num_groups = {name: groups_K[k] for k, name in enumerate(class_names)}

    def recalls(scores: GroupedScores, weights_RG: Tensor) -> dict[str, Tensor]:
        recall_RK = scores.tallies.recall(weights_RG)
        by_class = dict(zip(class_names, recall_RK.unbind(dim=1), strict=True))
        return {_MACRO: recall_RK.nanmean(dim=1), **by_class}

    differences = {
        key: paired_differences([ordered] * len(each), each, recalls, num_groups)
        for key, each in runs.items()
    }
    conditions = [
        _condition(key, titles[key], runs[key], found[_MACRO]) for key, found in differences.items()
    ]
    reversed_preds_N = predictions(runs["reversed"][0].logits_NK)
    per_class = [
        _class_order(
            name,
            int((ordered.target_N == k).sum()),
            {key: found[name] for key, found in differences.items()},
            reversed_preds_N[ordered.target_N == k],
            class_names,
        )
        for k, name in enumerate(class_names)
        if bool((ordered.target_N == k).any())
    ]
    return OrderDiagnosis(
        subset=subset,
        num_clips=len(ordered.target_N),
        num_groups=ordered.num_groups,
        leaked=leaked,
        chance=1 / len(class_names),
        conditions=conditions,
        per_class=per_class,
        verdict=verdict(conditions, per_class, ordered.num_groups, recurs),
    )


def _condition(key: str, title: str, runs: Sequence[GroupedScores], found: Difference) -> Condition:
    weights_RG = draw_weights(runs[0].num_groups)
    draws_R = torch.stack([each.tallies.recall(weights_RG).nanmean(dim=1) for each in runs])
    clips = len(runs[0].target_N)
    value = figure(found.second, draws_R.mean(dim=0), found.num_groups, clips)
    return Condition(
        key=key,
        title=title,
        order_blind=key in HEADS,
        macro_accuracy=found.second,
        interval=value.interval,
        difference=found.difference,
        difference_interval=found.interval,
        verdict=found.verdict,
    )


def _class_order(
    label: str,
    clips: int,
    found: Mapping[str, Difference],
    reversed_preds_M: Tensor,
    class_names: list[str],
) -> ClassOrder:
    shuffled = found["shuffled"]
    bounds = shuffled.interval
    counts_K = reversed_preds_M[reversed_preds_M < len(class_names)].bincount(
        minlength=len(class_names)
    )
    words = {
        "worse": "yes",
        "better": "better shuffled",
        "noise": "noise",
        "?": f"? ({shuffled.num_groups} groups)",
    }
    return ClassOrder(
        label=label,
        clips=clips,
        groups=shuffled.num_groups,
        recall={key: each.second for key, each in found.items()},
        need=-shuffled.difference,
        need_interval=Interval(-bounds.high, -bounds.low) if bounds else None,
        needs_time=words[shuffled.verdict],
        reversed_as=class_names[int(counts_K.argmax())],
        reversed_as_share=counts_K.max().item() / len(reversed_preds_M),
    )


def verdict(
    conditions: Sequence[Condition], per_class: Sequence[ClassOrder], groups: int, recurs: bool
) -> str:
    """What the figures say, in words: is order used, and does recurrence help?"""
    said = [_use_of_order(conditions, per_class, groups)]
    blind = [each for each in conditions if each.order_blind]
    if recurs and blind:
        said.append(_help_of_recurrence(max(blind, key=lambda each: each.macro_accuracy), groups))
    return "\n".join(said)


def _help_of_recurrence(control: Condition, groups: int) -> str:
    bounds = control.difference_interval
    found = Difference(
        first=control.macro_accuracy,
        second=control.macro_accuracy - control.difference,
        difference=-control.difference,
        interval=Interval(-bounds.high, -bounds.low) if bounds else None,
        p=math.nan,
        num_groups=groups,
        verdict=OPPOSITE.get(control.verdict, control.verdict),
    )
    name = control.title.rpartition(": ")[2]
    return f"{in_words(found, 'the model', name, figure='macro accuracy')}; {EFFORT}"


def _use_of_order(
    conditions: Sequence[Condition], per_class: Sequence[ClassOrder], groups: int
) -> str:
    shuffled = next(each for each in conditions if each.key == "shuffled")
    if shuffled.verdict == "?":
        return (
            f"too few groups to tell whether order is used ({groups} of the "
            f"{MIN_GROUPS_FOR_VERDICT} it takes)"
        )
    if shuffled.verdict != "worse":
        return "the order of the frames is not used, or no more than noise shows"
    said = (
        f"the order of the frames is used: shuffling them costs {-shuffled.difference:.3f} of "
        f"macro accuracy"
    )
    needy = [each for each in per_class if each.needs_time == "yes"]
    return f"{said}; {len(needy)} of {len(per_class)} classes need time by more than noise"
