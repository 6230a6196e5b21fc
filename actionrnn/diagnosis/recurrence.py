"""Does recurrence help? Recurrent heads against controls on the same clips, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actionrnn.evaluation.intervals import MIN_GROUPS_FOR_VERDICT
from actionrnn.evaluation.paired import Difference, compare
from actionrnn.evaluation.predictions import Predictions
from actionrnn.models.config import HEADS, MOTION, RECURRENT_HEADS

Tables = Mapping[str, Sequence[Predictions]]


@dataclass(frozen=True)
class Answer:
    """The best recurrent head against the best control, by accuracy on the test clips.

    Attributes:
        recurrent, control: their names in `HEADS`, both chosen by the clips that compare them.
        difference: recurrent minus control, accuracy, paired over groups.
        sentence: the answer.
    """

    recurrent: str
    control: str
    difference: Difference
    sentence: str


def does_recurrence_help(tables: Tables, effort: str) -> list[Answer]:
    """Against the best control that is blind to order, then the best over motion.

    Args:
        tables: of every head its runs (folds, seeds), each on the same clips as those of others.
        effort: how the settings of the heads were chosen.

    Returns:
        Nothing where there is no recurrent head or no control.
    """
    recurrent = [name for name in tables if HEADS[name].settings["head"] in RECURRENT_HEADS]
    kinds = {
        "blind to order": [name for name in tables if HEADS[name].order_blind],
        "over motion": [name for name in tables if name.startswith(MOTION)],
    }
    if not recurrent:
        return []
    best = max(recurrent, key=lambda name: _accuracy(tables[name]))
    found = []
    for kind, names in kinds.items():
        if names:
            control = max(names, key=lambda name: _accuracy(tables[name]))
            pair = compare(tables[control], tables[best], (control, best))
            difference = pair.figures["accuracy"]
            names_of = HEADS[best].title, HEADS[control].title
            said = in_words(difference, *names_of, kind)
            found.append(Answer(best, control, difference, f"{said} ({effort})"))
    return found


def in_words(
    found: Difference,
    model: str,
    control: str,
    kind: str = "blind to order",
    figure: str = "accuracy",
) -> str:
    """The answer that a paired difference `model - control` gives.

    Args:
        found: of the figure.
        model: what the recurrent head is called.
        control: what the other is called.
        kind: of the controls, of which this is the best.
        figure: what was compared.
    """
    groups = f"{found.num_groups} group{'s' if found.num_groups != 1 else ''}"
    answer = {
        "better": "Recurrence helps",
        "worse": "Recurrence harms",
        "noise": "Recurrence is not told from noise",
        "?": f"Too few groups to tell whether recurrence helps ({found.num_groups} of the "
        f"{MIN_GROUPS_FOR_VERDICT} it takes)",
    }[found.verdict]
    bounds = found.interval
    sure = f"95 % {bounds.low:+.3f} to {bounds.high:+.3f}, " if bounds else ""
    return (
        f"{answer}: the {figure} of {model} is {found.difference:+.3f} against {control}, the best "
        f"control {kind} ({sure}{groups})"
    )


def _accuracy(runs: Sequence[Predictions]) -> float:
    return sum(float(run.table["correct"].mean()) for run in runs) / len(runs)
