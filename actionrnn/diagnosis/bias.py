"""What besides the action a score rests on: one frame, the background, a part of the data."""

import sys
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from actionrnn.diagnosis.baselines import train_head
from actionrnn.diagnosis.slices import accuracy_by, check_columns, label_candidates
from actionrnn.evaluation.bootstrap import Tallies, draw_weights, group_ids, interval
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import clips_of
from actionrnn.features.extract import compute
from actionrnn.features.machine import choose_device
from actionrnn.training.batches import Batch
from actionrnn.training.data import Subset
from actionrnn.training.recognizer import clip_logits
from actionrnn.video.isolate import DecodeWorker

MAX_CLIPS = 512
# Between what an object left standing in the median frame gives (about half, where it tells the
# pair of classes but not which of the two) and a scene that tells the class.
SUSPECT_SHARE = 0.75


def diagnose_bias(
    run: TrainedModel,
    subset: Subset = "test",
    columns: list[str] | None = None,
    device: str = "auto",
    max_clips: int = MAX_CLIPS,
) -> dict[str, Any]:
    """Static and scene bias, accuracy by manifest column, doubtful labels; plain data.

    Args:
        run: the model.
        subset: the part to judge.
        columns: manifest columns to slice by; none given is all that are worth it.
        device: where the backbone runs on the background frames.
        max_clips: clips of a part whose background is looked at, drawn at random if there are
            more; every one is decoded again.

    Returns:
        `static`: macro accuracy of a single-frame head, of the model, and their ratio.
        `background`: for the validation clips and for `subset`, macro accuracy of the model on
        the clips, on their temporal median frame alone, and `share`, the second over the first.
        `slices`: by column, see `accuracy_by`. `label_candidates`. `verdict`.
    """
    part = run.data.part(subset)
    chosen = check_columns(columns or [], part.table)
    scored = run.predictions(subset)
    single = train_head(run, head="single_frame").model
    parts: list[Subset] = ["val", subset] if subset != "val" else ["val"]
    settings = run.data.features
    backbone = FrozenBackbone(settings.backbone, choose_device(device), settings.runtime)
    result = {
        "subset": subset,
        "num_clips": len(scored.table),
        "chance": 1 / len(run.class_names),
        "accuracy": float(scored.table["correct"].mean()),
        "leaked": scored.leaked,
        "static": compare_scores(run, subset, single.score(subset), run.score(subset)),
        "background": [_background(run, each, backbone, max_clips) for each in parts],
        "slices": {name: accuracy_by(scored, part.table[name]) for name in chosen},
        "label_candidates": label_candidates(scored),
    }
    return {**result, "verdict": verdict(result)}


def compare_scores(
    run: TrainedModel, subset: Subset, part_NVK: Tensor, whole_NVK: Tensor
) -> dict[str, Any]:
    """Macro accuracy with a part of the evidence, with all of it, and their ratio.

    Clips without scores in `part_NVK` are left out of both.
    """
    given_N = ~part_NVK.isnan().any(dim=(1, 2))
    target_N = run.targets(subset)[given_N]
    table = run.data.part(subset).table[given_N.numpy()]
    group_N = group_ids(table)
    num_groups = int(group_N.max()) + 1
    weights_RG = torch.cat([torch.ones(1, num_groups).double(), draw_weights(num_groups)])
    part_R, whole_R = (
        Tallies.of(each, clip_logits(each), target_N, group_N).figures(weights_RG)["macro_accuracy"]
        for each in (part_NVK[given_N], whole_NVK[given_N])
    )
    share_R = part_R / whole_R
    return {
        "subset": subset,
        "num_clips": int(given_N.sum()),
        "num_groups": num_groups,
        "part": part_R[0].item(),
        "part_interval": interval(part_R[1:], num_groups),
        "whole": whole_R[0].item(),
        "whole_interval": interval(whole_R[1:], num_groups),
        "share": share_R[0].item() if whole_R[0] > 0 else None,
        "share_interval": interval(share_R[1:], num_groups, is_share=False),
    }


def _background(
    run: TrainedModel, subset: Subset, backbone: FrozenBackbone, max_clips: int
) -> dict[str, Any]:
    scores_NVK = score_background(run, subset, backbone, max_clips)
    return compare_scores(run, subset, scores_NVK, run.score(subset))


@torch.inference_mode()
def score_background(
    run: TrainedModel, subset: Subset, backbone: FrozenBackbone, max_clips: int
) -> Tensor:
    """Scores of clips whose every frame is their temporal median, (N, V, K); NaN: not looked at.

    What moves is gone from the median of the sampled frames; what stands still is not.

    Raises:
        VideoError: if a clip that has features cannot be read any more.
    """
    settings = run.data.store.spec.settings
    clips = clips_of(run.data.part(subset), settings)
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0)).tolist()
    rows = [row for row in order if clips[row].video_id in run.data.store][:max_clips]
    shape = (len(clips), settings.num_views, len(run.class_names))
    scores_NVK = torch.full(shape, float("nan"))
    shown = track(
        rows,
        f"backgrounds of {subset} clips",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with DecodeWorker() as worker:
        for row in shown:
            frames_VTCHW = worker.ask(clips[row].request).frames
            median_V1CHW = frames_VTCHW.median(dim=1, keepdim=True).values
            features_V1D = compute(backbone, median_V1CHW).cpu()
            scores_NVK[row] = _score_still(run, features_V1D, frames_VTCHW.shape[1])
    return scores_NVK


def _score_still(run: TrainedModel, features_V1D: Tensor, num_frames: int) -> Tensor:
    """Scores (V, K) of a clip that stands still."""
    features_VTD = features_V1D.expand(-1, num_frames, -1)
    lengths_V = torch.full((len(features_VTD),), num_frames)
    none = torch.zeros(1, dtype=torch.long)
    return run.recognizer.score(Batch(features_VTD[None], lengths_V[None], none, none))[0]


def verdict(result: dict[str, Any]) -> str:
    """What the figures say, in words."""
    static, background = result["static"], result["background"][0]
    said = [
        "a single frame gives " + _of(static, result["chance"]),
        f"the background alone, on {background['subset']} clips, "
        + _of(background, result["chance"]),
    ]
    bounds = background["part_interval"]
    above_chance = bounds is not None and bounds[0] > result["chance"]
    if above_chance and (background["share"] or 0) >= SUSPECT_SHARE:
        said.append(
            "SHORTCUT SUSPECTED: the scene without the action is nearly enough to name the class"
        )
        seen = result["background"][-1]
        if seen["whole"] < background["whole"] - 0.1:
            said.append(
                f"and accuracy falls from {background['whole']:.3f} on {background['subset']} to "
                f"{seen['whole']:.3f} on {seen['subset']}"
            )
    below = [
        f"{column} {row['value']}"
        for column, rows in result["slices"].items()
        for row in rows
        if row["below"]
    ]
    if below:
        said.append(f"below the average by more than noise: {', '.join(below[:5])}")
    return "; ".join(said)


def _of(figures: dict[str, Any], chance: float) -> str:
    if figures["share"] is None:
        return "the model itself finds nothing"
    bounds = figures["part_interval"]
    said = (
        f"{figures['part']:.3f} of {figures['whole']:.3f} macro accuracy ({figures['share']:.0%})"
    )
    return said + (", no more than chance" if bounds and bounds[0] <= chance else "")
