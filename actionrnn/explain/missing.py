"""A clip in which some frames were not seen: the one meaning of "missing" in this folder."""

import torch
from torch import Tensor


def unseen(features_TD: Tensor, seen_MT: Tensor) -> Tensor:
    """Versions of a clip in which only some frames were seen, (M, T, D).

    A frame that was not seen is interpolated in time between its seen neighbours (held at the
    ends), so that neither its own content nor a jump that was never there remains: heads that
    read differences would take a jump for motion. Where no frame at all was seen, every frame is
    the clip's mean.

    Args:
        features_TD: features of one clip.
        seen_MT: bool, which frames each version keeps as they are.
    """
    num_frames = len(features_TD)
    versions = []
    for seen_T in seen_MT.bool():
        kept = seen_T.nonzero().flatten()
        if len(kept) == 0:
            versions.append(features_TD.mean(dim=0).expand(num_frames, -1))
            continue
        time_T = torch.arange(num_frames, device=features_TD.device)
        after_T = torch.searchsorted(kept, time_T).clamp(max=len(kept) - 1)
        before_T = (torch.searchsorted(kept, time_T, right=True) - 1).clamp(min=0)
        before, after = kept[before_T], kept[after_T]
        gap_T = (after - before).clamp(min=1)
        share_T1 = ((time_T - before) / gap_T).clamp(0, 1)[:, None].to(features_TD.dtype)
        versions.append(features_TD[before] * (1 - share_T1) + features_TD[after] * share_T1)
    return torch.stack(versions)
