"""Does the learning signal reach the first frame? A split's clips through `gradient_report`."""

import math
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.models.gradients import GateSaturation, gradient_report
from actionrnn.training.action_data import Subset

MAX_CLIPS = 256


@dataclass(frozen=True)
class LayerGradients:
    """The learning signal along one layer and direction, over clips.

    Attributes:
        layer, direction: which; 0 is the nearest to the features.
        name: both for people; empty if it is the only one.
        norms: mean gradient norm by frame.
        ratio, per_frame: of the frame read first to the one read last, and as a factor a frame;
            None where no clip has two frames or a loss.
        saturation: of every gate.
        verdict: `vanishing`, `healthy`, ...; `sentence`: the same in words.
    """

    layer: int
    direction: str
    name: str
    norms: list[float]
    ratio: float | None
    per_frame: float | None
    saturation: list[GateSaturation]
    verdict: str
    sentence: str


@dataclass(frozen=True)
class GradientsDiagnosis:
    """Every recurrent layer of a head."""

    subset: str
    num_clips: int
    cell: str
    layers: list[LayerGradients]
    verdict: str


def diagnose_gradients(run: TrainedModel, subset: Subset = "val") -> GradientsDiagnosis:
    """Gradients through time of every recurrent layer, over up to 256 clips.

    Raises:
        ActionRNNError: if the head has no recurrent layer.
    """
    batches, num_clips = [], 0
    for batch in run.data.loader(subset):
        batches.append(batch)
        num_clips += len(batch.target_B)
        if num_clips >= MAX_CLIPS:
            break
    clips = [features_TD for batch in batches for features_TD in batch.features_BVTD[:, 0]]
    features_BTD = pad_sequence(clips, batch_first=True)
    lengths_B = torch.cat([batch.lengths_BV[:, 0] for batch in batches])
    target_B = torch.cat([batch.target_B for batch in batches])
    layers = gradient_report(run.recognizer.head, features_BTD, lengths_B, target_B)
    if not layers:
        raise ActionRNNError(
            f"a {run.recognizer.head_config.head} head has no recurrent layer, so no gradient "
            f"goes through time; diagnose a run with --model.head recurrent"
        )
    return GradientsDiagnosis(
        subset=subset,
        num_clips=len(target_B),
        cell=run.recognizer.head_config.cell,
        layers=[
            LayerGradients(
                layer=layer.layer,
                direction=layer.direction,
                name=layer.name,
                norms=layer.mean_norm_T.tolist(),
                ratio=None if math.isnan(layer.ratio) else layer.ratio,
                per_frame=None if math.isnan(layer.per_frame) else layer.per_frame,
                saturation=list(layer.saturation),
                verdict=layer.verdict,
                sentence=layer.sentence(),
            )
            for layer in layers
        ],
        verdict="; ".join(layer.sentence() for layer in layers),
    )
