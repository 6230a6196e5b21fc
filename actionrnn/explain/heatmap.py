"""Where on the picture a class is seen: class activation maps through the frozen backbone."""

import torch
from torch import Tensor, nn

from actionrnn.explain.saliency import class_logits
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.models.heads import Head


def heat_maps(
    backbone: FrozenBackbone, head: Head, frames_TCHW: Tensor, features_TD: Tensor, label: int
) -> Tensor | None:
    """How much every place of every frame raises a class's logit, (T, h, w), 0 or more.

    The gradient of the logit with respect to the feature map, times the map, summed over
    channels, negative parts dropped. With a feature averaged over the whole picture this is
    Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391); where a grid of places is kept, each
    place has its own gradient (HiResCAM, arXiv 2011.08891). The gradient goes through the head
    and all frames, so differences in time count too.

    Args:
        backbone: made the features.
        head, label: see `saliency.integrated_gradients`.
        frames_TCHW: uint8, the pictures of one view.
        features_TD: their features.

    Returns:
        None if the backbone gives features without places (a transformer's class token).
    """
    maps_TChw = backbone.feature_maps(frames_TCHW)
    if maps_TChw.ndim != 4:
        return None
    grid = backbone.config.cells_a_side
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(False):
        features_1TD = features_TD.detach().clone()[None].requires_grad_()
        logit = class_logits(head, features_1TD, label)[0]
        gradient_TD = torch.autograd.grad(logit, features_1TD)[0][0]
        leaf = maps_TChw.clone().requires_grad_()
        pooled_TCG = nn.functional.adaptive_avg_pool2d(leaf, grid).flatten(2)
        # A class token, behind the cells of the grid, has no place in the picture.
        gradient_TCG = gradient_TD.unflatten(1, (leaf.shape[1], -1))[..., : grid**2]
        gradient_TChw = torch.autograd.grad(pooled_TCG, leaf, gradient_TCG)[0]
    return (gradient_TChw * maps_TChw).sum(dim=1).relu().detach()
