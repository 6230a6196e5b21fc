"""Does the file name the class, before anybody looks at what it shows?

Clips of one class that come from another camera, another site or another cutter differ in
resolution, length or date, and a model may learn that. A small linear model on nothing else is
tested on groups that it was not trained on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from actionrnn.datasets.content_hash import groups_with_equal_files
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.picture_hash import segments_of
from actionrnn.datasets.splits import grouped_folds
from actionrnn.evaluation.figures import GroupedScores
from actionrnn.evaluation.intervals import MIN_GROUPS_FOR_VERDICT, Interval, figure, group_ids
from actionrnn.progress import in_threads
from actionrnn.video.errors import VideoError
from actionrnn.video.traits import Traits, traits_of

# Clips looked at: so many, evenly by class, and at least so many of each class.
MAX_CLIPS, _MIN_OF_CLASS = 2000, 5
_NUM_FOLDS = 5
# So many sizes and codecs are told apart; the rarer ones are one.
_MAX_WORDS = 12
_NAMED = 3

# Of several cues that tell the same the first is named: a long clip has many frames and bytes.
CUES: dict[str, Callable[[Traits], tuple[float | str, ...]]] = {
    "resolution": lambda t: (math.log2(t.width * t.height), f"{t.width}x{t.height}"),
    "aspect": lambda t: (math.log2(t.width / t.height),),
    "fps": lambda t: (math.log2(t.fps),),
    "duration": lambda t: (math.log2(t.duration_seconds),),
    "number of frames": lambda t: (math.log2(t.num_frames),),
    "codec": lambda t: (t.codec,),
    "brightness": lambda t: (t.brightness,),
    "letterboxing": lambda t: t.bars,
    "bits per second": lambda t: (math.log2(t.bits_per_second),),
    "size in bytes": lambda t: (math.log2(t.num_bytes),),
    "file date": lambda t: (float(t.day),),
}


@dataclass(frozen=True)
class CueScore:
    """How well one cue alone, or all together, name the class.

    Attributes:
        name: one of `CUES`, or `together`.
        macro_accuracy, interval: on held-out groups.
    """

    name: str
    macro_accuracy: float
    interval: Interval | None

    def above(self, chance: float) -> bool:
        """By more than noise."""
        return self.interval is not None and self.interval.low > chance


@dataclass(frozen=True)
class Shortcuts:
    """What the files alone give away of the class.

    Attributes:
        num_clips, num_groups: that were looked at.
        unread: why a clip was not, by `video_id`.
        chance: macro accuracy of a guess.
        together: macro accuracy of all cues together on held-out groups; None without a verdict.
        interval: of it, over groups.
        missing: why there is no verdict; empty if there is one.
        found: together they name the class by more than chance, and one of them does alone. (Bytes
            and brightness together tell a little of what is seen, which is no shortcut.)
        cues: each alone, the best first, where all together are above chance. They are not asked
            otherwise, for of many cues one is above chance by luck.
        verdict: all that in a sentence.
    """

    num_clips: int
    num_groups: int
    unread: dict[str, str]
    chance: float
    together: float | None
    interval: Interval | None
    missing: str
    found: bool
    cues: list[CueScore]
    verdict: str


def find_shortcuts(manifest: Manifest, max_clips: int = MAX_CLIPS) -> Shortcuts:
    """Look at the clips' files, and ask.

    Args:
        manifest: all its clips are looked at, whatever their part.
        max_clips: if there are more, about so many are drawn, evenly by class.
    """
    shuffled = manifest.table.sample(frac=1, random_state=0)
    most = max(_MIN_OF_CLASS, max_clips // len(manifest.class_names))
    rows = sorted(shuffled.groupby("label").head(most).index)
    segments = segments_of(manifest)

    def look(row: int) -> Traits | str:
        try:
            return traits_of(*segments[row])
        except VideoError as error:
            return error.reason

    found = dict(zip(rows, in_threads(look, rows, "what the files give away"), strict=True))
    traits = {row: each for row, each in found.items() if isinstance(each, Traits)}
    names = manifest.table["video_id"]
    unread = {str(names[row]): each for row, each in found.items() if isinstance(each, str)}
    return judge(list(traits.values()), manifest.table.loc[list(traits)], unread)


def judge(traits: Sequence[Traits], table: pd.DataFrame, unread: dict[str, str]) -> Shortcuts:
    """Whether traits name the label, on groups that were not trained on.

    Args:
        traits: of every clip.
        table: their rows of a manifest.
        unread: clips that could not be looked at, and why.
    """
    table = table.assign(group=groups_with_equal_files(table))
    num_groups = int(group_ids(table).max()) + 1 if len(table) else 0
    chance = 1 / max(1, table["label"].nunique())
    columns = {name: [cue(each) for each in traits] for name, cue in CUES.items()}
    together, cues, missing = None, list[CueScore](), ""
    if num_groups < MIN_GROUPS_FOR_VERDICT:
        missing = f"{num_groups} groups only, and {MIN_GROUPS_FOR_VERDICT} are needed"
    elif table["label"].nunique() < 2:
        missing = "all clips are of one class"
    else:
        try:
            fold_N = _folds(table)
        except ManifestError as error:
            missing = str(error)
    if not missing:
        everything = [tuple(chain(*rows)) for rows in zip(*columns.values(), strict=True)]
        together = held_out("together", everything, table, fold_N)
        if together.above(chance):
            cues = [held_out(name, rows, table, fold_N) for name, rows in columns.items()]
            cues.sort(key=lambda cue: -cue.macro_accuracy)
    return Shortcuts(
        len(table),
        num_groups,
        unread,
        chance,
        together.macro_accuracy if together else None,
        together.interval if together else None,
        missing,
        any(cue.above(chance) for cue in cues),
        cues,
        _verdict(together, cues, chance, missing) + unread_note(unread),
    )


def held_out(
    name: str,
    rows: Sequence[tuple[float | str, ...]],
    table: pd.DataFrame,
    fold_N: NDArray[np.int64],
) -> CueScore:
    """How well a linear model on some traits names the label, on folds it was not trained on.

    Args:
        name: what to call them.
        rows: the traits of every clip.
        table: its label and group.
        fold_N: its fold, see `grouped_folds`.
    """
    features = pd.DataFrame(rows)
    target_N, names = pd.factorize(table["label"])
    pred_N = np.zeros_like(target_N)
    for number in np.unique(fold_N):
        tested = fold_N == number
        model = _model().fit(features[~tested], target_N[~tested])
        pred_N[tested] = model.predict(features[tested])
    scores_NK = one_hot(torch.from_numpy(pred_N), len(names)).double()
    scores = GroupedScores.of(scores_NK[:, None], torch.from_numpy(target_N), group_ids(table))
    accuracy_R = scores.macro_accuracies()
    found = figure(accuracy_R[0].item(), accuracy_R[1:], scores.num_groups, len(table))
    return CueScore(name, found.value, found.interval)


def _folds(table: pd.DataFrame) -> NDArray[np.int64]:
    most = int(table["label"].value_counts().max())
    labels, groups = table["label"].tolist(), table["group"].tolist()
    return grouped_folds(labels, groups, min(_NUM_FOLDS, most))


def _model() -> Any:
    """Logistic regression: numbers standardised, words (codec, size in pixels) one by one."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = OneHotEncoder(max_categories=_MAX_WORDS, handle_unknown="infrequent_if_exist")
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, LogisticRegression(class_weight="balanced", max_iter=1000))


def _verdict(together: CueScore | None, cues: list[CueScore], chance: float, missing: str) -> str:
    if together is None or together.interval is None:
        return f"whether the files alone give the class away cannot be told: {missing}"
    low, high = together.interval
    figures = f"{together.macro_accuracy:.3f} macro accuracy ({low:.3f} to {high:.3f}, chance "
    figures += f"{chance:.3f})"
    files = "the files alone (resolution, length, codec, date, ...)"
    if not cues:
        return f"{files} do not give the class away: {figures}"
    best = next((cue for cue in cues if cue.above(chance)), None)
    if not best:
        return f"{files} hardly give the class away: {figures}, and no one of them alone"
    alone = f"{best.name} alone gives {best.macro_accuracy:.3f}"
    return f"SHORTCUT: {files} give the class away with {figures}; {alone}"


def unread_note(unread: dict[str, str]) -> str:
    """How many clips could not be looked at, the first by name, to be put behind a verdict."""
    if not unread:
        return ""
    names = ", ".join(list(unread)[:_NAMED]) + (", ..." if len(unread) > _NAMED else "")
    return f"; {len(unread)} clips could not be looked at: {names}"
