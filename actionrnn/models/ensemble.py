"""Several heads that differ in their seeds alone, as one head: the mean of their probabilities."""

import math
from collections.abc import Iterable, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError
from actionrnn.models.heads import Head, HeadOutput, HeadState, Trace
from actionrnn.models.inputs import HeadInputs
from actionrnn.models.stack import StackState, Traces


class Ensemble(Head):
    """A deep ensemble (Lakshminarayanan et al. 2017, arXiv 1612.01474) with the promises of a head.

    Its logits are the logarithm of the members' mean probability, of every prefix too; its hidden
    states are theirs side by side; its state holds the frames once, then the members' own states
    one after another. Costs as much as all of them.

    Args:
        heads: trained apart, of equal settings; see `training.checkpoint.joined`.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        nn.Module.__init__(self)
        self.config = heads[0].config
        self.heads = nn.ModuleList(heads)

    @property
    def members(self) -> list[Head]:
        """The heads that are averaged."""
        return list(self.heads)  # type: ignore[arg-type]

    @property
    def inputs(self) -> HeadInputs:  # type: ignore[override]
        """Those of the first member; what they make of features alone is the same in all."""
        return self.members[0].inputs

    @property
    def encoder(self) -> NoReturn:  # type: ignore[override]
        """Not one, but several."""
        raise ActionRNNError(
            f"this model is {len(self.heads)} seeds as one, whose gates and gradients are not one: "
            f"look at a single seed, --ckpt_path RUN/seed0"
        )

    def forward_reduced(self, reduced_BTC: Tensor, lengths_B: Tensor) -> HeadOutput:
        """See `Head.forward_reduced`."""
        return _averaged([head.forward_reduced(reduced_BTC, lengths_B) for head in self.members])

    def initial_state(self, batch_size: int) -> HeadState:
        """See `Head.initial_state`."""
        return _joined([head.initial_state(batch_size) for head in self.members])

    def trace(self, features_BTD: Tensor, lengths_B: Tensor) -> Trace:
        """Refused: see `encoder`."""
        return self.encoder

    def fit_input_norm(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Refused: members are trained one by one."""
        raise ActionRNNError("several seeds as one model are not trained: train each by itself")

    def macs(self, num_frames: int) -> int:
        """See `Head.macs`."""
        return sum(head.macs(num_frames) for head in self.members)

    def _run(
        self, features_BTD: Tensor, lengths_B: Tensor, state: HeadState | None, traces: Traces
    ) -> HeadOutput:
        parts: Sequence[HeadState | None] = [None] * len(self.heads)
        if state is not None:
            parts = self._parted(state)
        return _averaged([
            head.forward(features_BTD, lengths_B, part)
            for head, part in zip(self.members, parts, strict=True)
        ])  # fmt: skip

    def _parted(self, state: HeadState) -> list[HeadState]:
        """The state of every member."""
        num = len(self.heads)
        layers, pooled = len(state.layers) // num, len(state.pooled) // num
        return [
            HeadState(
                state.inputs,
                state.layers[place * layers : (place + 1) * layers],
                state.pooled[place * pooled : (place + 1) * pooled],
            )
            for place in range(num)
        ]


def _joined(states: Sequence[HeadState]) -> HeadState:
    layers: StackState = tuple(layer for state in states for layer in state.layers)
    pooled = tuple(tensor for state in states for tensor in state.pooled)
    return HeadState(states[0].inputs, layers, pooled)


def _averaged(outputs: Sequence[HeadOutput]) -> HeadOutput:
    states = [output.state for output in outputs]
    return HeadOutput(
        _mean_probability([output.logits_BK for output in outputs]),
        _mean_probability([output.logits_BTK for output in outputs]),
        torch.cat([output.pooled_BH for output in outputs], dim=1),
        torch.cat([output.hidden_BTH for output in outputs], dim=2),
        None if None in states else _joined(states),  # type: ignore[arg-type]
    )


def _mean_probability(logits: Sequence[Tensor]) -> Tensor:
    log_probs = torch.stack([each.log_softmax(dim=-1) for each in logits])
    return log_probs.logsumexp(dim=0) - math.log(len(logits))
