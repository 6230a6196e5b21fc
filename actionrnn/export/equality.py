"""Is an exported graph the model it was made from? Measured on real clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.manifest_table import manifest_file
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.export.formats import Run
from actionrnn.export.graphs import Inputs, Traceable
from actionrnn.features.extract import stored_features
from actionrnn.features.spec import FeatureSettings, is_imported
from actionrnn.progress import progress, tell
from actionrnn.training.recognizer import clip_logits
from actionrnn.video.decode import ClipRequest
from actionrnn.video.errors import VideoError
from actionrnn.video.transform import Transform


class AsDecoded(Transform):
    """Frames as they come, uint8 (N, H, W, 3) to (1, N, H, W, 3)."""

    def __call__(self, frames: Any) -> Tensor:
        """The frames themselves."""
        return torch.from_numpy(frames)[None]


@dataclass(frozen=True)
class RealClip:
    """A clip to measure on.

    Attributes:
        name: its file, or its id.
        values_VT: what the graph takes of it: (views, frames, ...).
        features_VTD: what the original makes of it.
    """

    name: str
    values_VT: Tensor
    features_VTD: Tensor


@dataclass(frozen=True)
class Equality:
    """How near a graph comes to the original.

    Attributes:
        num_clips: measured on.
        num_scores: rows of probabilities compared: clips, or frames of them.
        largest_difference: of any probability.
        mean_difference: of all probabilities.
        top_class_agreement: share of rows with the same most probable class.
    """

    num_clips: int
    num_scores: int
    largest_difference: float
    mean_difference: float
    top_class_agreement: float

    def __str__(self) -> str:
        return (
            f"largest difference of a probability {self.largest_difference:.2g}, same top class "
            f"in {self.top_class_agreement:.2%} of {self.num_scores}, {self.num_clips} clips"
        )


def real_clips(
    predictor: ActionPredictor,
    ckpt_path: Path,
    root: Path,
    split: str,
    videos: list[str],
    inputs: Inputs,
    num_clips: int,
) -> Iterator[RealClip]:
    """Clips to measure on: the files given, or test clips spread over the run's own dataset.

    Raises:
        ActionRNNError: if not one can be read.
    """
    if is_imported(predictor.spec.settings.backbone.name):
        yield from _stored(ckpt_path, num_clips)
        return
    settings = predictor.spec.settings
    how = settings.sampling, settings.transform, settings.reader
    requests = [ClipRequest(video, *how) for video in videos]
    requests = requests or _test_clips(root, split, num_clips, settings)
    found = 0
    for request in progress(requests, len(requests), "measure"):
        try:
            clip = _read(predictor, request, inputs)
        except VideoError as error:
            tell(f"warning: {error}; not measured on it")
            continue
        found += 1
        yield clip
    if not found:
        raise ActionRNNError("not one clip to measure on can be read; name some: --videos a.mp4")


def _test_clips(
    root: Path, split: str, num_clips: int, settings: FeatureSettings
) -> list[ClipRequest]:
    if manifest_file(root) is None:
        raise ActionRNNError(
            f"the data that the checkpoint was trained on is not at {root}; to measure the "
            f"exported model give --data.root DIR, or some videos: --videos a.mp4 b.mp4"
        )
    part = Manifest.load(root).split(split, "test")
    rows = np.unique(np.linspace(0, len(part.table) - 1, num_clips).round().astype(int))
    seconds_N2 = part.table[["start_seconds", "end_seconds"]].to_numpy()
    bounds = [[None if np.isnan(each) else float(each) for each in row] for row in seconds_N2]
    paths = part.video_paths()
    how = settings.sampling, settings.transform, settings.reader
    return [ClipRequest(str(paths[row]), *how, *bounds[row]) for row in rows]


def _read(predictor: ActionPredictor, request: ClipRequest, inputs: Inputs) -> RealClip:
    pictures = request.answer().frames
    settings = predictor.spec.settings
    features_VTD = stored_features(predictor.backbone, pictures, settings).float()
    if inputs == "features":
        return RealClip(request.path, features_VTD, features_VTD)
    if inputs == "frames":
        as_decoded = AsDecoded(size=request.transform.size)
        pictures = replace(request, transform=as_decoded).answer().frames
    return RealClip(request.path, pictures, features_VTD)


def _stored(ckpt_path: Path, num_clips: int) -> Iterator[RealClip]:
    model = TrainedModel.load(ckpt_path)
    for number, batch in enumerate(model.data.loader("test", whole=True)):
        for features_VTD, lengths_V in zip(batch.features_BVTD, batch.lengths_BV, strict=True):
            if number >= num_clips:
                return
            known = features_VTD[:, : int(lengths_V[0])].float()
            yield RealClip(f"clip {number}", known, known)


def measure(
    graph: Traceable, run: Run, predictor: ActionPredictor, clips: Iterable[RealClip]
) -> Equality:
    """Run a graph on real clips beside the original.

    A step is run frame by frame over the first view (for `frames`: all spatial views of the first
    temporal one) and compared after every frame.
    """
    differences, agreements = [], []
    count = 0
    for clip in clips:
        count += 1
        if graph.kind == "clip":
            length = np.array([clip.values_VT.shape[1]])
            found = run([clip.values_VT[None].numpy(), length])[0]
            wanted = predictor.probabilities_of(clip.features_VTD)[None]
        else:
            found, wanted = _stepped(graph, run, predictor, clip)
        differences.append(np.abs(found - wanted.numpy()))
        agreements.append(found.argmax(axis=1) == wanted.numpy().argmax(axis=1))
    all_differences = np.concatenate(differences)
    return Equality(
        count,
        len(all_differences),
        float(all_differences.max()),
        float(all_differences.mean()),
        float(np.concatenate(agreements).mean()),
    )


def _stepped(
    graph: Traceable, run: Run, predictor: ActionPredictor, clip: RealClip
) -> tuple[np.ndarray[Any, Any], Tensor]:
    """Probabilities after every frame, (T, K), of the graph and of the original."""
    of_frames = graph.input_names[0] == "frame"
    num_views = predictor.spec.settings.transform.num_views if of_frames else 1
    state = [
        np.full((num_views, example.shape[1]), example.flatten()[0].item(), np.float32)
        for example in graph.examples[1:]
    ]
    found = []
    for values in clip.values_VT[0]:
        probabilities, *state = run([values[None].numpy(), *state])
        found.append(probabilities)
    features_VTD = clip.features_VTD[:num_views].to(predictor.device)
    lengths_V = torch.full((num_views,), features_VTD.shape[1], device=predictor.device)
    with torch.inference_mode():
        logits_VTK = predictor.recognizer.head(features_VTD, lengths_V).logits_BTK
    logits_TVK = logits_VTK.transpose(0, 1).double()
    wanted = clip_logits(logits_TVK, predictor.recognizer.temperature).softmax(dim=1)
    return np.concatenate(found), wanted.cpu()
