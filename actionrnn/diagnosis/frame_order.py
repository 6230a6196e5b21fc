"""Batches with their frames in another order: what a model that uses time must notice.

Every change moves whole frame features; none is computed anew. Padding stays behind the clip.
"""

from contextlib import closing

import torch
from torch import Tensor

from actionrnn.datasets.manifest import Manifest
from actionrnn.evaluation.scoring import Change
from actionrnn.features.clip_sources import clips_of
from actionrnn.features.store import FeatureStore
from actionrnn.training.batches import Batch
from actionrnn.video.reader import open_video

SPAN_COLUMNS = ("decisive_start", "decisive_end")


def reverse(batch: Batch) -> Batch:
    """Every view backwards, from its own last frame."""
    step_T = _steps(batch)
    last_BV1 = batch.lengths_BV[..., None] - 1
    return _moved(batch, torch.where(step_T <= last_BV1, last_BV1 - step_T, step_T))


def freeze(batch: Batch) -> Batch:
    """The middle frame (`length // 2`) of every view, as often as the view has frames."""
    middle_BV1 = (batch.lengths_BV // 2)[..., None]
    return _moved(batch, middle_BV1.expand(*batch.features_BVTD.shape[:3]))


def subsample(step: int) -> Change:
    """Every `step`-th frame: the middle one of each run of `step`."""

    def change(batch: Batch) -> Batch:
        lengths_BV = (batch.lengths_BV + step - 1) // step
        wanted_T = _steps(batch) * step + step // 2
        index_BVT = wanted_T.minimum(batch.lengths_BV[..., None] - 1)
        moved = _moved(batch, index_BVT)
        beyond_BVT = _steps(batch) >= lengths_BV[..., None]
        features_BVTD = moved.features_BVTD.masked_fill(beyond_BVT[..., None], 0.0)
        return moved._replace(features_BVTD=features_BVTD, lengths_BV=lengths_BV)

    return change


def shuffle(seed: int, among_NVT: Tensor | None = None) -> Change:
    """Frames of every view in random order, from one batch to the next another.

    Args:
        seed: of the order.
        among_NVT: move only these frames of each clip of the split, among themselves; None is
            all of them.
    """
    generator = torch.Generator().manual_seed(seed)

    def change(batch: Batch) -> Batch:
        step_T = _steps(batch)
        moving_BVT = step_T < batch.lengths_BV[..., None]
        if among_NVT is not None:
            moving_BVT = moving_BVT & among_NVT[batch.index_B][..., : len(step_T)]
        # Both sorts put the moving frames in front, in order and at random, and the rest alike.
        rest_BVT = len(step_T) + step_T.expand(moving_BVT.shape).double()
        random_BVT = torch.rand(moving_BVT.shape, generator=generator).double()
        place_BVT = torch.where(moving_BVT, step_T.double(), rest_BVT).argsort(dim=2)
        taken_BVT = torch.where(moving_BVT, random_BVT, rest_BVT).argsort(dim=2)
        return _moved(batch, torch.zeros_like(place_BVT).scatter(2, place_BVT, taken_BVT))

    return change


def frames_in_span(part: Manifest, store: FeatureStore) -> Tensor | None:
    """Which sampled frames lie in each clip's decisive span, bool (N, V, T).

    None where the manifest has no columns `decisive_start` and `decisive_end` (frame indices,
    half-open). Clips that could not be read have no frames.

    Raises:
        VideoError: if a clip that has features cannot be opened any more.
    """
    if not set(SPAN_COLUMNS) <= set(part.table.columns):
        return None
    settings = store.spec.settings
    spans = part.table[list(SPAN_COLUMNS)].astype(int).to_numpy()
    rows: list[list[list[bool]]] = []
    for clip, (start, stop) in zip(clips_of(part, settings), spans, strict=True):
        sampled: list[list[int]] = []
        if clip.video_id in store:
            ask = clip.request
            path, seconds = ask.path, (ask.start_seconds, ask.end_seconds)
            with closing(open_video(path, settings.reader, *seconds)) as video:
                sampled = settings.sampling.indices(video.num_frames, video.timestamps_seconds)
        rows.append([[bool(start <= index < stop) for index in view] for view in sampled])
    spatial = settings.transform.num_views
    longest = max((len(view) for views in rows for view in views), default=1)
    inside_NVT = torch.zeros(len(rows), settings.num_views, longest, dtype=torch.bool)
    for row, views in enumerate(rows):
        for number, view in enumerate(views):
            first = number * spatial  # temporal views first, each in all its spatial ones
            inside_NVT[row, first : first + spatial, : len(view)] = torch.tensor(view)
    return inside_NVT


def _steps(batch: Batch) -> Tensor:
    return torch.arange(batch.features_BVTD.shape[2])


def _moved(batch: Batch, index_BVT: Tensor) -> Batch:
    index_BVTD = index_BVT[..., None].expand(*index_BVT.shape, batch.features_BVTD.shape[3])
    return batch._replace(features_BVTD=batch.features_BVTD.gather(2, index_BVTD))
