"""What the head sees of the features: themselves, their change in time, normalised."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from actionrnn.models.config import InputNorm


def valid_mask(lengths_B: Tensor, num_frames: int) -> Tensor:
    """True at the valid steps of each clip, (B, T)."""
    return torch.arange(num_frames, device=lengths_B.device) < lengths_B[:, None]


def check_lengths(lengths_B: Tensor, num_frames: int) -> None:
    """Raise ValueError unless 1 <= length <= T for every clip."""
    if bool(((lengths_B < 1) | (lengths_B > num_frames)).any()):
        raise ValueError(
            f"lengths must lie between 1 and the {num_frames} steps there are, "
            f"got {lengths_B.tolist()}"
        )


class Inputs(nn.Module):
    """Concatenates features and their differences, normalises, and zeroes the padding.

    The difference at a clip's first frame is 0, so a step needs only the frame before.

    Args:
        feature_dim: D.
        names: any of `features`, `delta`, `abs_delta`.
        norm: see HeadConfig.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, feature_dim: int, names: tuple[str, ...], norm: InputNorm) -> None:
        super().__init__()
        self.names = names
        self.norm = norm
        self.dim = feature_dim * len(names)
        self.register_buffer("mean", torch.zeros(self.dim))
        self.register_buffer("std", torch.ones(self.dim))
        self.layer_norm = nn.LayerNorm(self.dim) if norm == "layer" else None

    def forward(
        self, features_BTD: Tensor, mask_BT: Tensor, previous_BD: Tensor | None = None
    ) -> Tensor:
        """Inputs (B, T, len(names) * D), exactly 0 where the mask is False, whatever lies there."""
        features_BTD = features_BTD.masked_fill(~mask_BT[..., None], 0.0)
        raw_BTD = self.concatenated(features_BTD, previous_BD)
        if self.layer_norm is not None:
            raw_BTD = self.layer_norm(raw_BTD)
        elif self.norm == "standardize":
            raw_BTD = (raw_BTD - self.mean) / self.std
        return raw_BTD.masked_fill(~mask_BT[..., None], 0.0)

    def concatenated(self, features_BTD: Tensor, previous_BD: Tensor | None = None) -> Tensor:
        """Features and differences side by side, not normalised."""
        if self.names == ("features",):
            return features_BTD
        first_B1D = features_BTD[:, :1] if previous_BD is None else previous_BD[:, None]
        delta_BTD = features_BTD - torch.cat([first_B1D, features_BTD[:, :-1]], dim=1)
        parts = {"features": features_BTD, "delta": delta_BTD, "abs_delta": delta_BTD.abs()}
        return torch.cat([parts[name] for name in self.names], dim=-1)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure mean and deviation of every dimension over all valid steps of the batches."""
        if self.norm != "standardize":
            return
        count = 0
        total = torch.zeros(self.dim, dtype=torch.float64)
        squares = torch.zeros(self.dim, dtype=torch.float64)
        for features_BTD, lengths_B in batches:
            mask_BT = valid_mask(lengths_B, features_BTD.shape[1])
            rows = self.concatenated(features_BTD)[mask_BT].double().cpu()
            count += len(rows)
            total += rows.sum(0)
            squares += rows.square().sum(0)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        # A dimension that never changes carries nothing; dividing by 1 keeps it at 0.
        std = variance.sqrt()
        std[std < 1e-6 * (mean.abs() + 1e-6)] = 1.0
        self.mean.copy_(mean)
        self.std.copy_(std)
