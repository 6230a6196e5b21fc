"""Which frames speak for a class: integrated gradients, and occlusion."""

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.explain.missing import unseen
from actionrnn.models.heads import Head

# Steps of the path integral: completeness within 1 % of the difference on trained heads.
NUM_STEPS = 64
# A window of an eighth of the clip: single frames of a finely sampled clip are interpolated from
# their neighbours almost without loss.
WINDOW_SHARE = 8


def class_logits(head: Head, features_MTD: Tensor, label: int) -> Tensor:
    """Logit of one class for versions of a clip that all have every frame, (M,)."""
    lengths_M = torch.full((len(features_MTD),), features_MTD.shape[1], device=features_MTD.device)
    logits_MK: Tensor = head(features_MTD, lengths_M).logits_BK
    return logits_MK[:, label]


def integrated_gradients(head: Head, features_TD: Tensor, label: int) -> Tensor:
    """Contribution of every frame to a class's logit, (T,) (Sundararajan et al. 2017).

    The baseline is the clip with its mean frame throughout: what is explained is what the course
    of the clip adds to a still picture of it. The contributions add up to the logit of the clip
    minus that of the baseline (arXiv 1703.01365, completeness). A frame may speak against the
    class: then its value is negative.

    Args:
        head: in eval mode.
        features_TD: features of one clip, float.
        label: index of the class.

    Raises:
        ActionRNNError: if Captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError as error:
        raise ActionRNNError(
            "integrated gradients need Captum: pip install 'actionrnn[explain]'"
        ) from error
    clip_1TD = features_TD.detach().clone()[None]
    still_1TD = clip_1TD.mean(dim=1, keepdim=True).expand_as(clip_1TD).contiguous()
    method = IntegratedGradients(lambda features: class_logits(head, features, label))
    # cuDNN computes gradients of recurrent layers in train mode only, where dropout is on.
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(False):
        parts_1TD: Tensor = method.attribute(
            clip_1TD.clone(), still_1TD.clone(), n_steps=NUM_STEPS, method="gausslegendre"
        )
    return parts_1TD[0].sum(dim=1).detach()


def occlusion(head: Head, features_TD: Tensor, label: int, window: int | None = None) -> Tensor:
    """How much a class's logit falls when the frames around each one are not seen, (T,).

    Args:
        head, features_TD, label: see `integrated_gradients`.
        window: frames hidden at once, centred; None is an eighth of the clip, at least one.
    """
    num_frames = len(features_TD)
    width = window or max(1, num_frames // WINDOW_SHARE)
    time_T = torch.arange(num_frames)
    first_T1 = (time_T - (width - 1) // 2)[:, None]
    hidden_TT = (time_T >= first_T1) & (time_T < first_T1 + width)
    with torch.inference_mode():
        whole = class_logits(head, features_TD[None], label)
        return (whole - class_logits(head, unseen(features_TD, ~hidden_TT), label)).clone()


METHODS = {"occlusion": occlusion, "integrated gradients": integrated_gradients}
