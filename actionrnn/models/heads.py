"""Features of a clip become class scores: the recurrent head, and the controls beside it."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actionrnn.models.config import HEADS, NUM_PROBE_HEADS, HeadConfig
from actionrnn.models.inputs import FrameDropout, HeadInputs, InputState
from actionrnn.models.lengths import at_frame, zero_padding
from actionrnn.models.pooling import (
    AttentionPooling,
    FramePooling,
    MaxPooling,
    MeanPooling,
    Pooling,
    PoolState,
)
from actionrnn.models.precision import at_least_float32
from actionrnn.models.stack import Encoded, Encoder, RecurrentStack, StackState, Traces
from actionrnn.models.tokens import AttendThenRecur, RecurThenAttend, TokenFrames, TokenPooling
from actionrnn.models.trace import CellTrace


class HeadState(NamedTuple):
    """All a head remembers of the frames so far; plain tensors."""

    inputs: InputState
    layers: StackState
    pooled: PoolState


class HeadOutput(NamedTuple):
    """What a head says about a batch of clips.

    Attributes:
        logits_BK: scores of the whole clips.
        logits_BTK: scores of every prefix: at t, what the head would say had the clip ended
            there. `logits_BK` is its last valid frame; after a clip's end that is held. (With
            two directions the second reading has always seen the whole clip, and inputs that
            look ahead a few frames more. For `single_frame` t is judged by frame t alone, and
            `logits_BK` is the middle frame's.)
        pooled_BH: what the classifier reads of the whole clips: their embeddings.
        hidden_BTH: what is pooled: top hidden states (inputs, for heads without recurrence; all
            tokens of a frame, for the token probes); zero on padding.
        state: after each clip's last valid frame; None unless a state was given.
    """

    logits_BK: Tensor
    logits_BTK: Tensor
    pooled_BH: Tensor
    hidden_BTH: Tensor
    state: HeadState | None


class Trace(NamedTuple):
    """A head's run in its transparent form: the same output, and what every cell did."""

    output: HeadOutput
    cells: list[CellTrace]


class FrameEncoder(Encoder):
    """Frames as they are: the encoder of controls."""

    macs_per_frame = 0

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """See `Encoder`."""
        return zero_padding(inputs_BTD, lengths_B), state


class LinearEncoder(nn.Linear, Encoder):
    """One linear layer for every frame, as the attentive probe has it."""

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__(input_size, size)
        self.output_size = size
        self.macs_per_frame = input_size * size

    def forward(  # type: ignore[override]
        self, inputs_BTD: Tensor, lengths_B: Tensor, state: StackState | None, traces: Traces
    ) -> Encoded:
        """See `Encoder`."""
        return zero_padding(super().forward(inputs_BTD), lengths_B), state


class Head(nn.Module):
    """Inputs, an encoder (recurrent, over tokens, or none), pooling, classifier.

    Logits do not depend on how much a clip was padded, on what stands in the padding (NaN too),
    nor on the other clips of the batch.

    Args:
        config: the settings.
        feature_dim: D of the features.
        num_classes: K.
        num_cells: cells of the grid that the features were pooled over.

    Raises:
        ValueError: if a size is not positive, and for a head over places without places.
    """

    def __init__(
        self, config: HeadConfig, feature_dim: int, num_classes: int, num_cells: int = 1
    ) -> None:
        super().__init__()
        if feature_dim < 1 or num_classes < 1:
            raise ValueError(
                f"feature_dim {feature_dim} and num_classes {num_classes} must be positive"
            )
        self.config = config
        self.inputs = HeadInputs(config, feature_dim, num_cells)
        self.input_dropout = FrameDropout(config.input_dropout, config.variational)
        self.encoder = _build_encoder(config, self.inputs.output_size, num_cells)
        size = self.encoder.output_size
        self.pooling = _build_pooling(config, size, num_cells)
        self.pooled_dropout = FrameDropout(config.dropout, variational=True)
        self.classifier = _build_classifier(config, size, num_classes)

    def forward(
        self, features_BTD: Tensor, lengths_B: Tensor, state: HeadState | None = None
    ) -> HeadOutput:
        """Judge clips, or the next part of clips that began earlier.

        Args:
            features_BTD: any float type; padding after a clip's length may hold anything.
            lengths_B: valid frames of each clip, 1 <= length <= T.
            state: None for whole clips; `initial_state` or an earlier output's state to go on
                part by part (one direction only), which costs an LSTM its fast kernel if
                lengths differ.

        Raises:
            ValueError: for features or lengths of the wrong shape or range, and for a state
                given to a head that reads clips from their end or looks ahead.
        """
        return self._run(features_BTD, lengths_B, state, traces=None)

    def forward_reduced(self, reduced_BTC: Tensor, lengths_B: Tensor) -> HeadOutput:
        """`forward` of whole clips of which `inputs.reduce` was taken before; the same bits."""
        inputs_BTC = self.inputs.from_reduced(reduced_BTC)
        return self._judge(inputs_BTC, lengths_B, None, None, traces=None)

    def step(self, features_BD: Tensor, state: HeadState | None) -> tuple[Tensor, HeadState]:
        """One more frame of every clip: the scores so far and the new state.

        The scores after frame t are `logits_BTK[:, t]` of the whole clip. None is the state
        before the first frame. Meant for eval mode: dropout would draw a new mask each frame.

        Raises:
            ValueError: for a bidirectional head, which needs the end of a clip to begin, and for
                inputs that look ahead.
        """
        if state is None:
            state = self.initial_state(features_BD.shape[0])
        lengths_B = torch.ones(features_BD.shape[0], dtype=torch.int64, device=features_BD.device)
        output = self.forward(features_BD[:, None], lengths_B, state)
        assert output.state is not None
        return output.logits_BK, output.state

    def initial_state(self, batch_size: int) -> HeadState:
        """The state before the first frame."""
        like = next(self.classifier.parameters()).detach()
        return HeadState(
            self.inputs.initial_state(batch_size, like),
            self.encoder.initial_state(batch_size, like),
            self.pooling.initial_state(batch_size, like),
        )

    def trace(self, features_BTD: Tensor, lengths_B: Tensor) -> Trace:
        """Run the transparent form: every gate and state of every cell, by name.

        The output equals `forward`'s within float tolerance (in eval mode, or with the same
        random numbers). A loop over frames: for explanation, not for training. Heads without
        recurrent layers have no cells to show.
        """
        cells: list[CellTrace] = []
        return Trace(self._run(features_BTD, lengths_B, None, cells), cells)

    def fit_input_norm(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure the input normalisation on the training clips; see `HeadInputs.fit`."""
        self.inputs.fit(batches)

    @property
    def members(self) -> list["Head"]:
        """The head alone; of several seeds as one model (`models.ensemble`), each."""
        return [self]

    @property
    def num_parameters(self) -> int:
        """Numbers that training changes."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def macs(self, num_frames: int) -> int:
        """Multiply-adds of the matrix products of one clip's forward pass.

        The classifier counts at every frame, as `forward` applies it at every frame.
        """
        linear = [m for m in self.classifier.modules() if isinstance(m, nn.Linear)]
        per_frame = sum(layer.in_features * layer.out_features for layer in linear)
        per_frame += self.pooling.macs_per_frame + self.encoder.macs_per_frame
        return num_frames * per_frame

    def _run(
        self, features_BTD: Tensor, lengths_B: Tensor, state: HeadState | None, traces: Traces
    ) -> HeadOutput:
        if state is not None:
            self._check_causal()
        like = next(self.classifier.parameters())
        inputs_BTC, inputs_state = self.inputs(
            features_BTD.to(like.dtype), lengths_B, None if state is None else state.inputs
        )
        return self._judge(inputs_BTC, lengths_B, state, inputs_state, traces)

    def _check_causal(self) -> None:
        if self.config.reads_both_ways:
            raise ValueError(
                "a bidirectional head reads clips from their end and cannot go on frame by "
                "frame; train with bidirectional false for streaming"
            )
        if self.config.looks_ahead:
            raise ValueError(
                f"inputs {','.join(self.config.input_kinds)} compare a frame with later ones and "
                f"cannot go on frame by frame; train with delta in place of ahead for streaming"
            )

    def _judge(
        self,
        inputs_BTC: Tensor,
        lengths_B: Tensor,
        state: HeadState | None,
        inputs_state: InputState | None,
        traces: Traces,
    ) -> HeadOutput:
        """All after the inputs: layers, pooling, classifier."""
        like = next(self.classifier.parameters())
        inputs_BTC = self.input_dropout(inputs_BTC)
        layers_state = None if state is None else state.layers
        hidden_BTH, layers_state = self.encoder(inputs_BTC, lengths_B, layers_state, traces)
        hidden_BTH = at_least_float32(hidden_BTH)
        start = (
            self.pooling.initial_state(lengths_B.shape[0], like) if state is None else state.pooled
        )
        pooled_BTH, pooled_state = self.pooling(hidden_BTH, lengths_B, start)
        logits_BTK = self.classifier(self.pooled_dropout(pooled_BTH))
        deciding_B = self.pooling.deciding_frame(lengths_B)
        logits_BK, pooled_BH = (at_frame(each, deciding_B) for each in (logits_BTK, pooled_BTH))
        end = None
        if inputs_state is not None and layers_state is not None:
            end = HeadState(inputs_state, layers_state, pooled_state)
        return HeadOutput(logits_BK, logits_BTK, pooled_BH, hidden_BTH, end)


def build_head(config: HeadConfig, feature_dim: int, num_classes: int, num_cells: int = 1) -> Head:
    """A head with fresh weights, drawn from torch's global random numbers."""
    return Head(config, feature_dim, num_classes, num_cells)


def _build_encoder(config: HeadConfig, input_size: int, num_cells: int) -> Encoder:
    if config.head == "recurrent":
        return RecurrentStack(config, input_size)
    if config.architecture == "attentive_probe":
        return LinearEncoder(input_size, config.hidden_size)
    if not config.reads_tokens:
        return FrameEncoder(input_size)
    if HEADS[config.head].needs_places and num_cells == 1:
        raise ValueError(
            f"head {config.head} tells places of the picture apart, and these features have one: "
            f"use --features.backbone.grid 3 (up to 7), or another --model.head"
        )
    if config.head == "attend_recur":
        return AttendThenRecur(config, input_size, num_cells)
    build = RecurThenAttend if config.recurs else TokenFrames
    return build(config, input_size, num_cells)


def _build_pooling(config: HeadConfig, size: int, num_cells: int) -> Pooling:
    if config.reads_tokens and not config.recurs:
        return TokenPooling(size, num_cells, config.head == "token_probe_ordered")
    if config.head == "single_frame":
        return FramePooling(size, size, "middle")
    if config.architecture == "attentive_probe":
        return AttentionPooling(size, NUM_PROBE_HEADS, "linear")
    if not config.recurs or config.pooling == "mean":
        return MeanPooling(size)
    if config.pooling == "last":
        return FramePooling(size, config.hidden_size)
    return MaxPooling(size) if config.pooling == "max" else AttentionPooling(size)


def _build_classifier(config: HeadConfig, size: int, num_classes: int) -> nn.Module:
    if config.architecture != "mean_pool_mlp":
        return nn.Linear(size, num_classes)
    return nn.Sequential(
        nn.Linear(size, config.hidden_size),
        nn.ReLU(),
        FrameDropout(config.dropout, variational=True),
        nn.Linear(config.hidden_size, num_classes),
    )
