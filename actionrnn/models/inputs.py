"""What a head sees of the features: differences in time, one scale for every dimension."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actionrnn.models.config import HeadConfig, lag_of
from actionrnn.models.lengths import check_lengths, frame_mask, take_frames, zero_padding

# A dimension that hardly moves in training must not explode in test: its deviation counts as at
# least this share of the mean deviation of its kind.
LEAST_DEVIATION = 0.01
# Numbers measured at a time, in float64: 32 MiB, and a few copies of them.
MEASURED_AT_ONCE = 2**22
# Keeps the slope of a power finite at zero; features are of the order of 0.1 to 10.
LEAST_FEATURE = 1e-6


class InputState(NamedTuple):
    """The last frames seen (B, L, D), the latest last, and how many frames were seen (B,).

    L is the longest lag. Before L frames were seen the first places hold zeros.
    """

    frames_BLD: Tensor
    num_frames_B: Tensor


class HeadInputs(nn.Module):
    """Padding to zero, powers, differences, grid, concatenation, normalisation: (B, T, kinds * C).

    Heads over tokens keep the grid: (B, T, kinds * D), cells fastest.

    Backbones differ in the scale of their features by orders of magnitude, and differences are
    smaller than what they are differences of; so every dimension is standardised *after* the
    concatenation. Mean and deviation are buffers, saved with the weights. Until `fit` has
    measured them they are 0 and 1.

    Args:
        config: its `inputs`, `input_power`, `feature_scale`, `grid_pooling` and `input_norm`.
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
        self.feature_scale = config.feature_scale if len(self.kinds) > 1 else 1.0
        self.num_cells = num_cells
        self.grid_pooling = "concat" if config.reads_tokens else config.grid_pooling
        self.one_scale_for_cells = config.reads_tokens
        # At least one, so that states have one shape of tensors whatever the kinds.
        self.longest_lag = max(1, *(-lag_of(kind) for kind in self.kinds))
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
        return self._concatenate(zero_padding(features_BTD, lengths_B), lengths_B, None)

    def from_reduced(self, reduced_BTC: Tensor) -> Tensor:
        """Inputs of the first layer, from what `reduce` made of whole clips.

        Raises:
            ValueError: if its last dimension is not `output_size`.
        """
        _check_shape("reduced features", reduced_BTC, self.output_size)
        return self._normalise(reduced_BTC)

    def initial_state(self, batch_size: int, like: Tensor) -> InputState:
        """The state before the first frame."""
        return InputState(
            like.new_zeros(batch_size, self.longest_lag, self.feature_dim),
            torch.zeros(batch_size, dtype=torch.int64, device=like.device),
        )

    def forward(
        self, features_BTD: Tensor, lengths_B: Tensor, state: InputState | None
    ) -> tuple[Tensor, InputState | None]:
        """Inputs of the first layer, and the state after each clip's last frame if one was given.

        Raises:
            ValueError: if the features are not (B, T, D) or the lengths do not fit them.
        """
        self._check(features_BTD, lengths_B)
        features_BTD = zero_padding(features_BTD, lengths_B)
        inputs_BTD = self._normalise(self._concatenate(features_BTD, lengths_B, state))
        if state is None:
            return inputs_BTD, None
        known_BND = torch.cat([state.frames_BLD, features_BTD], dim=1)
        last_L = torch.arange(self.longest_lag, device=lengths_B.device)
        last_BLD = take_frames(known_BND, lengths_B[:, None] + last_L)
        return inputs_BTD, InputState(last_BLD, state.num_frames_B + lengths_B)

    def _check(self, features_BTD: Tensor, lengths_B: Tensor) -> None:
        _check_shape("features", features_BTD, self.feature_dim)
        check_lengths(lengths_B, features_BTD.shape[0], features_BTD.shape[1])

    def _concatenate(
        self, features_BTD: Tensor, lengths_B: Tensor, state: InputState | None
    ) -> Tensor:
        features_BTD = self._raised(features_BTD)
        parts = []
        for kind in self.kinds:
            values_BTD = features_BTD
            if lag_of(kind):
                values_BTD = self._difference(features_BTD, lengths_B, state, lag_of(kind))
            if kind.startswith("abs_"):
                values_BTD = values_BTD.abs()
            parts.append(self._pooled(values_BTD, kind))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _difference(
        self, features_BTD: Tensor, lengths_B: Tensor, state: InputState | None, lag: int
    ) -> Tensor:
        """Later minus earlier of every frame and the one `lag` frames on (back, if negative)."""
        index_T = torch.arange(features_BTD.shape[1], device=features_BTD.device) + lag
        if lag > 0:
            index_BT = torch.minimum(index_T, lengths_B[:, None] - 1).clamp(min=0)
            return take_frames(features_BTD, index_BT) - features_BTD
        if state is None:
            return features_BTD - features_BTD[:, index_T.clamp(min=0)]
        known_BND = torch.cat([self._raised(state.frames_BLD), features_BTD], dim=1)
        first_B1 = (self.longest_lag - state.num_frames_B[:, None]).clamp(min=0)
        index_BT = torch.maximum(index_T + self.longest_lag, first_B1)
        return features_BTD - take_frames(known_BND, index_BT)

    def _raised(self, features: Tensor) -> Tensor:
        if self.power == 1:
            return features
        size: Tensor = (features.abs() + LEAST_FEATURE).pow(self.power) - LEAST_FEATURE**self.power
        return features.sign() * size

    def _pooled(self, values_BTD: Tensor, kind: str) -> Tensor:
        if self.grid_pooling == "concat":
            return values_BTD
        cells_BTCG = values_BTD.reshape(*values_BTD.shape[:2], -1, self.num_cells)
        is_max = self.grid_pooling == "max" or (self.grid_pooling == "motion_max" and lag_of(kind))
        return cells_BTCG.amax(dim=3) if is_max else cells_BTCG.mean(dim=3)

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

        Heads over tokens have one mean and deviation for a channel at all cells.

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
            self._check(features_BTD, lengths_B)
            at_once = max(1, MEASURED_AT_ONCE // features_BTD[0].numel())
            for start in range(0, len(lengths_B), at_once):
                part = slice(start, start + at_once)
                frames_ND = self._valid_frames(features_BTD[part], lengths_B[part], number, start)
                new, total = len(frames_ND), count + len(frames_ND)
                shift_D = frames_ND.mean(dim=0) - mean_D
                squares_D = squares_D + frames_ND.var(dim=0, correction=0) * new
                squares_D = squares_D + shift_D.square() * (count * new / total)
                mean_D = mean_D + shift_D * (new / total)
                count = total
        if count == 0:
            raise ValueError("input_norm standardize was given no training clip to measure")
        variance_D = squares_D / count
        if self.one_scale_for_cells:
            mean_D, variance_D = self._over_cells(mean_D, variance_D)
        self.mean.copy_(mean_D)
        self.std.copy_(self._floor(variance_D.sqrt()))

    def _over_cells(self, mean_D: Tensor, variance_D: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of every channel over all cells, repeated for each of them."""
        mean_CG, variance_CG = (x.reshape(-1, self.num_cells) for x in (mean_D, variance_D))
        whole_C1 = mean_CG.mean(dim=1, keepdim=True)
        variance_C1 = (variance_CG + (mean_CG - whole_C1).square()).mean(dim=1, keepdim=True)
        return whole_C1.expand_as(mean_CG).flatten(), variance_C1.expand_as(mean_CG).flatten()

    def _valid_frames(
        self, features_BTD: Tensor, lengths_B: Tensor, number: int, start: int
    ) -> Tensor:
        """Inputs of all valid frames in float64, (N, kinds * C); `start` is the first row."""
        lengths_B = lengths_B.cpu()
        features_BTD = zero_padding(features_BTD.cpu().double(), lengths_B)
        bad_B = ~features_BTD.flatten(1).isfinite().all(dim=1)
        if bool(bad_B.any()):
            raise ValueError(
                f"features of training batch {number} are not finite in rows "
                f"{(start + bad_B.nonzero().flatten()).tolist()}; check the clips they come from"
            )
        mask_BT = frame_mask(lengths_B, features_BTD.shape[1])
        return self._concatenate(features_BTD, lengths_B, None)[mask_BT]

    def _floor(self, std_D: Tensor) -> Tensor:
        """At least `LEAST_DEVIATION` of the kind's mean; 1 where a whole kind never moves.

        A greater deviation is what makes `features` count for less (`feature_scale`).
        """
        std_KD = std_D.reshape(len(self.kinds), self.kind_size)
        floored_KD = torch.maximum(std_KD, LEAST_DEVIATION * std_KD.mean(dim=1, keepdim=True))
        scale_K1 = [[self.feature_scale if kind == "features" else 1.0] for kind in self.kinds]
        return (torch.where(floored_KD > 0, floored_KD, 1.0) / torch.tensor(scale_K1)).flatten()


def _check_shape(what: str, values_BTD: Tensor, size: int) -> None:
    if values_BTD.ndim != 3 or values_BTD.shape[2] != size:
        raise ValueError(
            f"{what} must be (clips, frames, {size}) for this head, got {tuple(values_BTD.shape)}"
        )


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
