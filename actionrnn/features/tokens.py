"""Places of a picture as tokens: patches of a transformer, maps of a CNN, of several layers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse

from actionrnn.errors import ActionRNNError
from actionrnn.features.network import UNTRACEABLE, cut, require_layers
from actionrnn.features.published import TIMM
from actionrnn.features.spec import BackboneConfig, TokenLayer
from actionrnn.features.weights import has_classifier

LAYER = "--features.backbone.layer"


class TimmTokens(nn.Module):
    """Maps of some layers of a timm network, one above the other; its class token beside them.

    Args:
        model: a transformer (its blocks are the layers, and each map goes through its last norm) or
            a CNN (its stages), which gives `forward_intermediates`.
        layers: counted from 0; none is the last.
        has_class: whether the class token is wanted.

    Raises:
        ActionRNNError: if the network has no such layers, or no class token.
    """

    def __init__(self, model: nn.Module, layers: tuple[str, ...], has_class: bool) -> None:
        super().__init__()
        self.model = model
        self.has_class = has_class
        if not hasattr(model, "forward_intermediates"):
            raise ActionRNNError(f"this network of timm does not show its layers: {LAYER} pooled")
        if has_class and getattr(model, "cls_token", None) is None:
            raise ActionRNNError(f"this network has no class token: use {LAYER} tokens")
        known = len(model.blocks if hasattr(model, "blocks") else model.feature_info)  # type: ignore[arg-type]
        wrong = [each for each in layers if not each.isdecimal() or int(each) >= known]
        if wrong:
            raise ActionRNNError(
                f"{LAYER} tokens:{','.join(layers)}: {wrong[0]} is no layer of this network, whose "
                f"layers are numbered from 0 to {known - 1}"
            )
        self.indices: Any = [int(each) for each in layers] or 1  # a number: so many of the last
        self.options = {"return_prefix_tokens": True} if has_class else {}

    def forward(self, pictures_NCHW: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Float pictures to maps (N, C, h, w), and the class token (N, C) if it is wanted."""
        found = self.model.forward_intermediates(  # type: ignore[operator]
            pictures_NCHW,
            indices=self.indices,
            norm=True,
            stop_early=True,
            intermediates_only=True,
            **self.options,
        )
        if not self.has_class:
            return joined(found)
        maps, prefixes = zip(*found, strict=True)
        return joined(list(maps)), torch.cat([prefix[:, 0] for prefix in prefixes], dim=1)


class NamedTokens(nn.Module):
    """Maps of some modules of a network, one above the other.

    Args:
        model: a network, in eval mode, that gives maps (N, C, h, w) there.
        layers: names of the modules.
        name: of the network, for messages.

    Raises:
        ActionRNNError: if there is no such module, or the network cannot be traced.
    """

    def __init__(self, model: nn.Module, layers: tuple[str, ...], name: str) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        self.layers = layers
        require_layers(model, layers, name)
        wanted = {layer: layer for layer in layers}
        try:
            traced = create_feature_extractor(model, wanted, suppress_diff_warning=True).eval()
        except UNTRACEABLE as error:
            raise ActionRNNError(
                f"{name} cannot be traced, so that its layers cannot be had together ({error}); "
                f"name one: {LAYER} {layers[-1]}"
            ) from error
        # As a plain graph: the extractor keeps a second one for training, which fuse would trace.
        self.extractor = fuse(GraphModule(traced, traced.graph).eval()).eval()

    def forward(self, pictures_NCHW: Tensor) -> Tensor:
        """Float pictures to maps (N, C, h, w)."""
        found = self.extractor(pictures_NCHW)
        return joined([found[layer] for layer in self.layers])


def token_network(
    model: nn.Module, config: BackboneConfig, tokens: TokenLayer, size: int
) -> nn.Module:
    """The part of a network that gives its tokens as maps.

    Args:
        model: of the config, in eval mode.
        config: which network.
        tokens: which layers.
        size: side of the pictures, in pixels.

    Raises:
        ActionRNNError: if it has no such layers.
    """
    if config.name.startswith(TIMM):
        return TimmTokens(model, tokens.layers, tokens.has_class)
    if tokens.has_class:
        raise ActionRNNError(f"{config.name}: class tokens are had of timm's transformers alone")
    if tokens.layers:
        return NamedTokens(model, tokens.layers, config.name)
    return cut(model, None, size, config.name, has_classifier(config, model))


def joined(maps: list[Tensor]) -> Tensor:
    """Maps one above the other by channel, the larger ones averaged to the size of the smallest.

    Raises:
        ActionRNNError: for what is no map.
    """
    if any(each.ndim != 4 for each in maps):
        raise ActionRNNError(
            f"{LAYER}: a layer gives a tensor of shape "
            f"{next(tuple(each.shape) for each in maps if each.ndim != 4)}, which is no map"
        )
    height, width = (min(each.shape[axis] for each in maps) for axis in (2, 3))
    return torch.cat([nn.functional.adaptive_avg_pool2d(m, (height, width)) for m in maps], dim=1)
