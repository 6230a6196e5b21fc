"""Why this class, and when: everything about one clip, as arrays."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.explain.faithfulness import Faithfulness, faithfulness
from actionrnn.explain.gates import GateMap, gate_maps
from actionrnn.explain.heatmap import heat_maps
from actionrnn.explain.saliency import METHODS
from actionrnn.features.extract import stored_features
from actionrnn.models.heads import Head
from actionrnn.video.decode import ClipFrames, read_clip

_GATE_FIGURES = ("gate", "layer", "direction", "saturated_low", "saturated_high")


@dataclass(frozen=True)
class Saliency:
    """What every frame adds to the class's logit, (T,), and whether that is true to the model."""

    values_T: NDArray[np.float32]
    faithfulness: Faithfulness


@dataclass(frozen=True)
class ExplainedClip:
    """A clip, its scores, and where they come from.

    Attributes:
        path: the file.
        class_names: in the order of the scores.
        probs_K: what `predict` says of the clip: over all views, with the stored temperature.
        label: index of the class that is explained.
        indices_T, timestamps_T: the frames of the explained view (the first), in the file.
        frames_TCHW: uint8, its pictures.
        evidence_TK: probability of every class after each frame: what the head would say had
            the clip ended there (for two directions and `single_frame` see `HeadOutput`).
        saliencies: by method.
        gates: of every layer; empty for heads without recurrence.
        heat_Thw: where the class is seen, see `heat_maps`; None without feature maps.
        notes: what a reader should know.
    """

    path: str
    class_names: list[str]
    probs_K: NDArray[np.float64]
    label: int
    indices_T: list[int]
    timestamps_T: list[float]
    frames_TCHW: NDArray[np.uint8]
    evidence_TK: NDArray[np.float32]
    saliencies: dict[str, Saliency]
    gates: list[GateMap]
    heat_Thw: NDArray[np.float32] | None
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The figures without pictures and gate values; plain data."""
        return {
            "path": self.path,
            "label": self.class_names[self.label],
            "probabilities": dict(zip(self.class_names, self.probs_K.tolist(), strict=True)),
            "frames": self.indices_T,
            "seconds": self.timestamps_T,
            "evidence": self.evidence_TK[:, self.label].tolist(),
            "saliency": {
                name: {"values": each.values_T.tolist(), **vars(each.faithfulness)}
                for name, each in self.saliencies.items()
            },
            "gates": [{name: getattr(each, name) for name in _GATE_FIGURES} for each in self.gates],
            "notes": self.notes,
        }


def explain_clip(
    predictor: ActionPredictor,
    path: str | Path,
    label: str | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> ExplainedClip:
    """Explain why a clip gets a class.

    Args:
        predictor: `ActionPredictor.load(ckpt_path)`.
        path: a video.
        label: the class to explain; None is the one predicted.
        start_seconds, end_seconds: a part of the file.

    Raises:
        VideoError: if the file cannot be read.
        ActionRNNError: for an unknown class, or without Captum.
    """
    settings = predictor.spec.settings
    clip = read_clip(
        *(path, settings.sampling, settings.transform, settings.reader),
        *(start_seconds, end_seconds),
    )
    features_VTD = stored_features(predictor.backbone, clip.frames, settings).float()
    probs_K = predictor.probabilities_of(features_VTD)
    names = predictor.class_names
    if label is not None and label not in names:
        raise ActionRNNError(f"there is no class {label!r}{near_miss(label, names)}")
    chosen = int(probs_K.argmax()) if label is None else names.index(label)
    # A copy: the predictor's own head stays on its device for the next clip.
    head = deepcopy(predictor.recognizer.head).cpu().eval()
    features_TD = features_VTD[0].cpu()
    with torch.inference_mode():
        logits_TK = head(features_TD[None], torch.tensor([len(features_TD)])).logits_BTK[0]
    heat = heat_maps(predictor.backbone, head, clip.frames[0], features_TD, chosen)
    gates = gate_maps(head, features_TD)
    return ExplainedClip(
        str(path),
        names,
        probs_K.numpy(),
        chosen,
        clip.indices[0],
        clip.timestamps_seconds[0],
        clip.frames[0].numpy(),
        (logits_TK / predictor.recognizer.temperature).softmax(dim=1).numpy(),
        saliencies(head, features_TD, chosen),
        gates,
        None if heat is None else heat.numpy(),
        _notes(clip, head, gates, heat),
    )


def saliencies(head: Head, features_TD: Tensor, label: int) -> dict[str, Saliency]:
    """Every method's saliency of one clip, with its faithfulness."""
    found = {}
    for name, method in METHODS.items():
        values_T = method(head, features_TD, label)
        found[name] = Saliency(values_T.numpy(), faithfulness(head, features_TD, label, values_T))
    return found


def _notes(clip: ClipFrames, head: Head, gates: list[GateMap], heat: Tensor | None) -> list[str]:
    notes = list(clip.warnings)
    if len(clip.frames) > 1:
        notes.append(
            f"explained is the first of {len(clip.frames)} views; the probabilities are of all"
        )
    if head.config.head == "recurrent" and head.config.bidirectional:
        notes.append(
            "probability so far: the second direction has seen the whole clip at every frame"
        )
    if head.config.head == "single_frame":
        notes.append("probability so far: of each frame alone; the middle one decides")
    if not gates:
        notes.append(f"a {head.config.head} head has no gates")
    if heat is None:
        notes.append("this backbone's features have no places, so there is no heat map")
    elif heat.max() <= 0:
        notes.append("no place raises the class's logit, so the pictures bear no heat")
    return notes
