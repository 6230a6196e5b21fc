"""What a head sees of the features: differences in time, one scale for every dimension."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actionrnn.models.config import HeadConfig
from actionrnn.models.lengths import at_frame, check_lengths, frame_mask, zero_padding

# A dimension that hardly moves in training must not explode in test: its deviation counts as at
# least this share of the mean deviation of its kind.
LEAST_DEVIATION = 0.01
# Keeps the slope of a power finite at zero; features are of the order of 0.1 to 10.
LEAST_FEATURE = 1e-6


class InputState(NamedTuple):
    """The last frame seen (B, D), and how many frames were seen (B,)."""

    frame_BD: Tensor
    num_frames_B: Tensor


class HeadInputs(nn.Module):
    """Padding to zero, powers, differences, grid, concatenation, normalisation: (B, T, kinds * C).

    Backbones differ in the scale of their features by orders of magnitude, and differences are
    smaller than what they are differences of; so every dimension is standardised *after* the
    concatenation. Mean and deviation are buffers, saved with the weights. Until `fit` has
    measured them they are 0 and 1.

    Args:
        config: its `inputs`, `input_power`, `grid_pooling` and `input_norm`.
        feature_dim: D, channels times cells.
        num_cells: cells of the grid that features were pooled over; they vary fastest in D.

    Raises:
        ValueError: if D is not a multiple of the cells.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: HeadConfig, feature_dim: int, num_cells: int = 1) -> None:
        super().__init__()
        if feature_dim % num_cells:
            raise ValueError(f"feature_dim {feature_dim} is no multiple of {num_cells} grid cells")
        self.feature_dim = feature_dim
        self.kinds = config.input_kinds
        self.norm = config.input_norm
        self.power = config.input_power
        self.num_cells = num_cells
        self.grid_pooling = config.grid_pooling
        self.kind_size = feature_dim if self.grid_pooling == "concat" else feature_dim // num_cells
        self.output_size = self.kind_size * len(self.kinds)
        # Groups: each kind by itself, or small differences would drown beside the features.
        self.layer_norm = (
            nn.GroupNorm(len(self.kinds), self.output_size) if self.norm == "layer" else None
        )
        if self.norm == "standardize":
            self.register_buffer("mean", torch.zeros(self.output_size))
            self.register_buffer("std", torch.ones(self.output_size))

    @property
    def shrinks(self) -> bool:
        """Whether `reduce` leaves less than there was; it is then worth doing once for all."""
        return self.output_size < self.feature_dim

    @torch.no_grad()
    def reduce(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """All that depends on the features alone: powers, differences, grid, concatenation.

        `from_reduced` of the result, (B, T, kinds * C), is `forward` of the features.
        """
        self._check(features_BTD, lengths_B)
        return self._concatenate(zero_padding(features_BTD, lengths_B), None)

    def from_reduced(self, reduced_BTC: Tensor) -> Tensor:
        """Inputs of the first layer, from what `reduce` made of whole clips.

        Raises:
            ValueError: if its last dimension is not `output_size`.
        """
        if reduced_BTC.ndim != 3 or reduced_BTC.shape[2] != self.output_size:
            raise ValueError(
                f"reduced features must be (clips, frames, {self.output_size}) for this head, "
                f"got {tuple(reduced_BTC.shape)}"
            )
        return self._normalise(reduced_BTC)

    def initial_state(self, batch_size: int, like: Tensor) -> InputState:
        """The state before the first frame."""
        return InputState(
            like.new_zeros(batch_size, self.feature_dim),
            torch.zeros(batch_size, dtype=torch.int64, device=like.device),
        )

    def forward(
        self, features_BTD: Tensor, lengths_B: Tensor, state: InputState | None
    ) -> tuple[Tensor, InputState | None]:
        """Inputs of the first layer, and the state after each clip's last frame if one was given.

        Args:
            features_BTD: features.
            lengths_B: valid frames of each clip.
            state: to go on from.

        Raises:
            ValueError: if the features are not (B, T, D) or the lengths do not fit them.
        """
        self._check(features_BTD, lengths_B)
        features_BTD = zero_padding(features_BTD, lengths_B)
        inputs_BTD = self._normalise(self._concatenate(features_BTD, state))
        if state is None:
            return inputs_BTD, None
        last_BD = at_frame(features_BTD, lengths_B - 1)
        return inputs_BTD, InputState(last_BD, state.num_frames_B + lengths_B)

    def _check(self, features_BTD: Tensor, lengths_B: Tensor) -> None:
        if features_BTD.ndim != 3 or features_BTD.shape[2] != self.feature_dim:
            raise ValueError(
                f"features must be (clips, frames, {self.feature_dim}) for this head, "
                f"got {tuple(features_BTD.shape)}"
            )
        check_lengths(lengths_B, features_BTD.shape[0], features_BTD.shape[1])

    def _concatenate(self, features_BTD: Tensor, state: InputState | None) -> Tensor:
        features_BTD = self._raised(features_BTD)
        if self.kinds == ("features",):
            return self._pooled(features_BTD)
        before_BD = features_BTD[:, 0]
        if state is not None:
            started_B1 = state.num_frames_B[:, None] > 0
            before_BD = torch.where(started_B1, self._raised(state.frame_BD), before_BD)
        delta_BTD = features_BTD.diff(dim=1, prepend=before_BD[:, None])
        by_kind = {"features": features_BTD, "delta": delta_BTD, "abs_delta": delta_BTD.abs()}
        parts = [self._pooled(by_kind[kind]) for kind in self.kinds]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _raised(self, features: Tensor) -> Tensor:
        if self.power == 1:
            return features
        size: Tensor = (features.abs() + LEAST_FEATURE).pow(self.power) - LEAST_FEATURE**self.power
        return features.sign() * size

    def _pooled(self, values_BTD: Tensor) -> Tensor:
        if self.grid_pooling == "concat":
            return values_BTD
        cells_BTCG = values_BTD.reshape(*values_BTD.shape[:2], -1, self.num_cells)
        return cells_BTCG.amax(dim=3) if self.grid_pooling == "max" else cells_BTCG.mean(dim=3)

    def _normalise(self, inputs_BTD: Tensor) -> Tensor:
        if self.norm == "standardize":
            return (inputs_BTD - self.mean) / self.std
        if self.layer_norm is None:
            return inputs_BTD
        normed_ND: Tensor = self.layer_norm(inputs_BTD.flatten(0, 1))
        return normed_ND.reshape(inputs_BTD.shape)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure mean and deviation of every dimension over all valid frames, in one pass.

        Means and squared deviations of batches are merged in float64 (Chan, Golub & LeVeque
        1979). Does nothing, and reads nothing, unless `norm` is `standardize`.

        Args:
            batches: (features (B, T, D), lengths (B,)) of the training clips.

        Raises:
            ValueError: if there is no batch, or a valid frame is not finite.
        """
        if self.norm != "standardize":
            return
        count, mean_D, squares_D = 0, torch.zeros(1), torch.zeros(1)
        for number, (features_BTD, lengths_B) in enumerate(batches):
            frames_ND = self._valid_frames(features_BTD.cpu().double(), lengths_B.cpu(), number)
            new, total = len(frames_ND), count + len(frames_ND)
            shift_D = frames_ND.mean(dim=0) - mean_D
            squares_D = squares_D + frames_ND.var(dim=0, correction=0) * new
            squares_D = squares_D + shift_D.square() * (count * new / total)
            mean_D = mean_D + shift_D * (new / total)
            count = total
        if count == 0:
            raise ValueError("input_norm standardize was given no training clip to measure")
        self.mean.copy_(mean_D)
        self.std.copy_(self._floor((squares_D / count).sqrt()))

    def _valid_frames(self, features_BTD: Tensor, lengths_B: Tensor, number: int) -> Tensor:
        self._check(features_BTD, lengths_B)
        features_BTD = zero_padding(features_BTD, lengths_B)
        bad_B = ~features_BTD.flatten(1).isfinite().all(dim=1)
        if bool(bad_B.any()):
            raise ValueError(
                f"features of training batch {number} are not finite in rows "
                f"{bad_B.nonzero().flatten().tolist()}; check the clips they come from"
            )
        mask_BT = frame_mask(lengths_B, features_BTD.shape[1])
        return self._concatenate(features_BTD, None)[mask_BT]

    def _floor(self, std_D: Tensor) -> Tensor:
        """At least `LEAST_DEVIATION` of the kind's mean; 1 where a whole kind never moves."""
        std_KD = std_D.reshape(len(self.kinds), self.kind_size)
        floored_KD = torch.maximum(std_KD, LEAST_DEVIATION * std_KD.mean(dim=1, keepdim=True))
        return torch.where(floored_KD > 0, floored_KD, 1.0).flatten()


class FrameDropout(nn.Module):
    """Dropout on (B, T, D); `variational` draws one mask a clip and keeps it over time."""

    def __init__(self, share: float, variational: bool) -> None:
        super().__init__()
        self.share = share
        self.variational = variational

    def forward(self, values_BTD: Tensor) -> Tensor:
        """The values in eval mode; in training, zeros at random and the rest scaled up."""
        if not self.training or self.share == 0:
            return values_BTD
        if not self.variational:
            return nn.functional.dropout(values_BTD, self.share)
        mask_B1D = torch.ones_like(values_BTD[:, :1])
        return values_BTD * nn.functional.dropout(mask_B1D, self.share)
