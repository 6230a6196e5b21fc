"""Backbones by a short name: which network with which weights, at 224 px; licence and cost."""

from typing import NamedTuple

PRESET_SIDE = 224
"""Side of the pictures of every preset, in pixels, where no other is given."""


class Preset(NamedTuple):
    """A published network with its weights.

    Attributes:
        network: name for torchvision, or `timm:NAME.TAG`; the tag names the weights, and what
            their publisher says of it gives mean, standard deviation and interpolation.
        licence: of the weights.
        gmacs: 10^9 multiply-adds of one picture of 224 px.
        parameters: in millions.
        width: size of the feature of a picture.
        purpose: what it is, in a few words.
    """

    network: str
    licence: str
    gmacs: float
    parameters: float
    width: int
    purpose: str


PRESETS = {
    "dinov2_small": Preset(
        "timm:vit_small_patch14_dinov2.lvd142m", "Apache-2.0", 6.1, 21.6, 384,
        "self-supervised ViT (DINOv2, arXiv 2304.07193)",
    ),
    "dinov2_base": Preset(
        "timm:vit_base_patch14_dinov2.lvd142m", "Apache-2.0", 23.2, 85.7, 768,
        "the same, larger",
    ),
    "siglip_base": Preset(
        "timm:vit_base_patch16_siglip_224.webli", "Apache-2.0", 17.7, 92.9, 768,
        "image tower of SigLIP (arXiv 2303.15343)",
    ),
    "clip_vit_base": Preset(
        "timm:vit_base_patch16_clip_224.openai", "MIT", 17.6, 86.2, 768,
        "image tower of OpenAI's CLIP (arXiv 2103.00020), before its projection",
    ),
    "eupe_convnext_tiny": Preset(
        "timm:convnext_tiny.eupe_lvd1689m", "FAIR Noncommercial Research", 4.5, 27.8, 768,
        "ConvNeXt distilled from several teachers (EUPE); not for commercial use",
    ),
    "resnet50": Preset(
        "resnet50", "BSD-3-Clause", 4.1, 25.6, 2048,
        "torchvision's, trained on ImageNet (IMAGENET1K_V2)",
    ),
    "mobilenetv4_medium": Preset(
        "timm:mobilenetv4_conv_medium.e500_r224_in1k", "Apache-2.0", 0.8, 9.7, 1280,
        "made for speed (arXiv 2404.10518), trained on ImageNet",
    ),
}  # fmt: skip
"""What `--features.backbone.name` takes besides names of torchvision and timm."""


def preset_lines() -> list[str]:
    """A line for each preset: name, licence, cost, width, purpose."""
    return [
        f"{name:<19} {each.licence:<28} {each.gmacs:>4} GMACs {each.parameters:>5} M  "
        f"{each.width:>4} wide  {each.purpose}"
        for name, each in PRESETS.items()
    ]
