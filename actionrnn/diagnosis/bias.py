"""What besides the action a score rests on: one frame, the background, a part of the data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from actionrnn.diagnosis.baselines import train_head
from actionrnn.diagnosis.shortcuts import Shortcuts, find_shortcuts, unread_note
from actionrnn.diagnosis.slices import (
    LabelCandidate,
    SliceAccuracy,
    accuracy_by,
    check_columns,
    label_candidates,
)
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.figures import GroupedScores
from actionrnn.evaluation.intervals import (
    MIN_GROUPS_FOR_VERDICT,
    Interval,
    clopper_pearson,
    difference_interval,
    figure,
    group_ids,
)
from actionrnn.evaluation.scoring import score_clip
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import clips_of
from actionrnn.features.extract import compute
from actionrnn.features.machine import choose_device
from actionrnn.progress import progress
from actionrnn.training.action_data import Subset
from actionrnn.video.errors import VideoError
from actionrnn.video.isolate import DecodeWorker

MAX_CLIPS = 512
# Between what an object left standing in the median frame gives (about half, where it tells the
# pair of classes but not which of the two) and a scene that tells the class.
SUSPECT_SHARE = 0.75


@dataclass(frozen=True)
class PartOfEvidence:
    """Macro accuracy with a part of the evidence, with all of it, and their ratio.

    Attributes:
        subset, num_clips, num_groups: what was looked at.
        part, part_interval: with a part of the evidence.
        whole, whole_interval: with all of it.
        share, share_interval: part / whole; None where the model itself finds nothing.
    """

    subset: str
    num_clips: int
    num_groups: int
    part: float
    part_interval: Interval | None
    whole: float
    whole_interval: Interval | None
    share: float | None
    share_interval: Interval | None


@dataclass(frozen=True)
class BiasDiagnosis:
    """Static and scene bias, accuracy by manifest column, doubtful labels.

    Attributes:
        subset, num_clips, chance, accuracy, leaked: the part that is judged, all its clips.
        shortcuts: what the files of the whole dataset give away, without any model.
        static: a single-frame head against the model.
        background: the model on the temporal median frame alone, of validation clips and of
            `subset`.
        unread: why a clip's background could not be looked at, by `video_id`.
        slices: by column, see `accuracy_by`.
        label_candidates: clips that may be labelled wrongly.
        suspected: a shortcut is.
        verdict: all that in words.
    """

    subset: str
    num_clips: int
    num_groups: int
    chance: float
    accuracy: float
    leaked: bool
    shortcuts: Shortcuts
    static: PartOfEvidence
    background: list[PartOfEvidence]
    unread: dict[str, str]
    slices: dict[str, list[SliceAccuracy]]
    label_candidates: list[LabelCandidate]
    suspected: bool
    verdict: str


def diagnose_bias(
    run: TrainedModel,
    subset: Subset = "test",
    columns: list[str] | None = None,
    device: str = "auto",
    max_clips: int = MAX_CLIPS,
) -> BiasDiagnosis:
    """Ask all of it.

    Args:
        run: the model.
        subset: the part to judge.
        columns: manifest columns to slice by; none given is all that are worth it.
        device: where the backbone runs on the background frames.
        max_clips: clips of a part whose background is looked at, drawn at random if there are
            more; every one is decoded again.
    """
    part = run.data.part(subset)
    chosen = check_columns(columns or [], part.table)
    shortcuts = find_shortcuts(run.data.manifest)
    whole_NVK = run.score(subset)
    scored = run.predictions(subset, whole_NVK)
    single = train_head(run, head="single_frame")
    settings = run.data.features
    backbone = FrozenBackbone(
        settings.backbone, choose_device(device), settings.runtime, side=settings.transform.side
    )
    static = compare_scores(run, subset, single.score(subset), whole_NVK)
    parts: list[Subset] = [subset]
    if subset != "val" and len(run.data.part("val").table):  # a refit left none
        parts.insert(0, "val")
    unread: dict[str, str] = {}
    background = [
        compare_scores(
            run,
            each,
            score_background(run, each, backbone, max_clips, unread),
            whole_NVK if each == subset else run.score(each),
        )
        for each in parts
    ]
    slices = {name: accuracy_by(scored, part.table[name]) for name in chosen}
    chance = 1 / len(run.class_names)
    return BiasDiagnosis(
        subset=subset,
        num_clips=len(scored.table),
        num_groups=int(group_ids(scored.table).max()) + 1,
        chance=chance,
        accuracy=float(scored.table["correct"].mean()),
        leaked=scored.leaked,
        shortcuts=shortcuts,
        static=static,
        background=background,
        unread=unread,
        slices=slices,
        label_candidates=label_candidates(scored),
        suspected=shortcuts.found or is_shortcut(background[0], chance),
        verdict="; ".join(
            [shortcuts.verdict, verdict(static, background, slices, chance) + unread_note(unread)]
        ),
    )


def compare_scores(
    run: TrainedModel, subset: Subset, part_NVK: Tensor, whole_NVK: Tensor
) -> PartOfEvidence:
    """Macro accuracy with a part of the evidence, and with all of it.

    Clips without scores in `part_NVK` are left out of both.
    """
    given_N = ~part_NVK.isnan().any(dim=(1, 2))
    target_N = run.targets(subset)[given_N]
    group_N = group_ids(run.data.part(subset).table[given_N.numpy()])
    num_groups, clips = int(group_N.max()) + 1, int(given_N.sum())
    part_R, whole_R = (
        GroupedScores.of(each[given_N].double(), target_N, group_N).macro_accuracies()
        for each in (part_NVK, whole_NVK)
    )
    part, whole = (
        figure(each[0].item(), each[1:], num_groups, clips) for each in (part_R, whole_R)
    )
    share = part.value / whole.value if whole.value > 0 else None
    return PartOfEvidence(
        subset=subset,
        num_clips=clips,
        num_groups=num_groups,
        part=part.value,
        part_interval=part.interval,
        whole=whole.value,
        whole_interval=whole.interval,
        share=share,
        share_interval=None
        if share is None
        else difference_interval(share, (part_R / whole_R)[1:], num_groups, 0.0, float("inf")),
    )


@torch.inference_mode()
def score_background(
    run: TrainedModel,
    subset: Subset,
    backbone: FrozenBackbone,
    max_clips: int,
    unread: dict[str, str],
) -> Tensor:
    """Scores of clips whose every frame is their temporal median, (N, V, K); NaN: not looked at.

    What moves is gone from the median of the sampled frames; what stands still is not.

    Args:
        run, subset, backbone, max_clips: see `diagnose_bias`.
        unread: gets the clips that have features and cannot be read any more, and why; a decoder
            that dies costs its own clip alone.

    Raises:
        ActionRNNError: if not one can be read.
    """
    settings = run.data.store.spec.settings
    clips = clips_of(run.data.part(subset), settings)
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0)).tolist()
    rows = [row for row in order if clips[row].video_id in run.data.store][:max_clips]
    shape = (len(clips), settings.num_views, len(run.class_names))
    scores_NVK = torch.full(shape, float("nan"))
    with DecodeWorker() as worker:
        for row in progress(rows, len(rows), f"backgrounds of {subset} clips"):
            try:
                frames_VTCHW = worker.ask(clips[row].request).frames
            except VideoError as error:
                unread[clips[row].video_id] = error.reason
                continue
            median_V1CHW = frames_VTCHW.median(dim=1, keepdim=True).values
            features_V1D = compute(backbone, median_V1CHW).cpu()
            still_VTD = features_V1D.expand(-1, frames_VTCHW.shape[1], -1)
            scores_NVK[row] = score_clip(run.recognizer, still_VTD)
    if scores_NVK.isnan().all():
        raise ActionRNNError(
            f"not one of {len(rows)} {subset} clips can be read any more{unread_note(unread)}; "
            f"where are they now? --data.root names another place"
        )
    return scores_NVK


def is_shortcut(background: PartOfEvidence, chance: float) -> bool:
    """Whether the scene alone nearly names the class, by more than chance.

    An alarm that fails to ring costs more than one too many: where groups are too few for a
    verdict, that these very clips are named by more than chance is enough, and it is said so.
    """
    bounds = background.part_interval
    if bounds is None or background.num_groups < MIN_GROUPS_FOR_VERDICT:
        bounds = clopper_pearson(background.part, background.num_clips)
    return bounds.low > chance and (background.share or 0) >= SUSPECT_SHARE


def verdict(
    static: PartOfEvidence,
    background: list[PartOfEvidence],
    slices: dict[str, list[SliceAccuracy]],
    chance: float,
) -> str:
    """What the figures say, in words."""
    first, seen = background[0], background[-1]
    said = [
        "a single frame gives " + _of(static, chance),
        f"the background alone, on {first.subset} clips, " + _of(first, chance),
    ]
    if is_shortcut(first, chance):
        few = first.num_groups < MIN_GROUPS_FOR_VERDICT
        said.append(
            "SHORTCUT SUSPECTED: the scene without the action is nearly enough to name the class"
            + (f" (in the {first.num_groups} groups there are; look at more)" if few else "")
        )
        if seen.whole < first.whole - 0.1:
            said.append(
                f"and accuracy falls from {first.whole:.3f} on {first.subset} to "
                f"{seen.whole:.3f} on {seen.subset}"
            )
    below = [
        f"{column} {row.value}" for column, rows in slices.items() for row in rows if row.below
    ]
    if below:
        said.append(f"below the average by more than noise: {', '.join(below[:5])}")
    return "; ".join(said)


def _of(figures: PartOfEvidence, chance: float) -> str:
    if figures.share is None:
        return "the model itself finds nothing"
    said = f"{figures.part:.3f} of {figures.whole:.3f} macro accuracy ({figures.share:.0%})"
    if figures.part_interval is None:
        return f"{said}, in {figures.num_groups} groups, too few to trust"
    return said + (", no more than chance" if figures.part_interval.low <= chance else "")
