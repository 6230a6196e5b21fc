"""Does the learning signal reach the first frame? Gradients through time, gate saturation.

A recurrent layer learns from frame t only what dLoss/dh_t brings back to it. Where that norm
falls towards the start of the reading the signal vanishes, where it grows it explodes
(Bengio et al. 1994; Pascanu et al. 2013, arXiv 1211.5063).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isinf, nan
from typing import Literal

import torch
from torch import Tensor, nn

from actionrnn.models.heads import Head
from actionrnn.models.lengths import at_frame, frame_mask
from actionrnn.models.trace import CellTrace, layer_names

Verdict = Literal["vanishing", "healthy", "exploding", "too short", "no signal"]

# A first frame that gets a thousandth of the last one's gradient is not learned from within the
# epochs any run has; a thousandfold gradient is beyond what clipping at norm 1 can save.
VANISHING_RATIO = 1e-3
EXPLODING_RATIO = 1e3
# A gate is saturated in the outer tenth of its range (Karpathy et al. 2015, arXiv 1506.02078).
SATURATED_SHARE = 0.1


@dataclass(frozen=True)
class GateSaturation:
    """Shares of a gate's values (valid frames, all units) near the ends of its range, 0..1."""

    gate: str
    low: float
    high: float


@dataclass(frozen=True)
class CellGradients:
    """The learning signal along one layer and direction.

    Attributes:
        layer, direction: see `CellTrace`.
        name: both for people, see `layer_names`.
        norm_BT: `|dLoss/dstate_t|` of each clip's own loss, a total derivative through all later
            frames; over all states of the cell together (for an LSTM, h and c). NaN on padding.
        norm_by_state: the same for each state by name (`hidden`, `cell`).
        verdict: `ratio` judged against `VANISHING_RATIO` and `EXPLODING_RATIO`; `too short` if
            no clip has two frames, `no signal` if every loss is 0 already.
        ratio: norm at the frame read first over that at the frame read last, median over clips
            of two frames or more whose loss is not 0; NaN without such clips.
        per_frame: the same as a factor per frame.
        saturation: of each gate of bounded range.
    """

    layer: int
    direction: str
    name: str
    norm_BT: Tensor
    norm_by_state: dict[str, Tensor]
    verdict: Verdict
    ratio: float
    per_frame: float
    saturation: tuple[GateSaturation, ...]

    @property
    def mean_norm_T(self) -> Tensor:
        """Mean over the clips that have the frame, (T,): the curve to plot."""
        return self.norm_BT.nanmean(dim=0)

    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == "too short":
            why = "clips of one frame carry nothing through time"
        elif self.verdict == "no signal":
            why = "the loss of every clip is 0, there is nothing to learn"
        else:
            why = (
                f"the frame read first gets {self.ratio:.2g} times the gradient of the frame read "
                f"last (x{self.per_frame:.3f} per frame)"
            )
        return (f"{self.name}: " if self.name else "") + f"{self.verdict}; {why}"


def gradient_report(
    head: Head, features_BTD: Tensor, lengths_B: Tensor, target_B: Tensor
) -> list[CellGradients]:
    """Measure every recurrent layer of a head on a batch, with dropout off.

    Changes nothing: no parameter's `.grad`, no mode. Works inside `no_grad` and
    `inference_mode` too. Heads without recurrent layers give an empty list.

    Args:
        target_B: class indices; each clip's loss is its cross-entropy.
    """
    # Inference tensors cannot take part in a graph, so the batch is copied outside that mode.
    with torch.inference_mode(False), torch.enable_grad(), _eval_mode(head):
        features_BTD, lengths_B, target_B = (x.clone() for x in (features_BTD, lengths_B, target_B))
        output, cells = head.trace(features_BTD, lengths_B)
        loss = nn.functional.cross_entropy(output.logits_BK, target_B, reduction="sum")
        names = layer_names(cells)
        return [_cell_gradients(*each, loss) for each in zip(cells, names, strict=True)]


def state_gradients(trace: CellTrace, loss: Tensor) -> dict[str, Tensor]:
    """dLoss/dstate_t for every state by name, (B, T, H), zero on padding.

    Total derivatives: through every later frame and every layer above; for the memory c of an
    LSTM also through the h of its own frame.
    """
    flat = [tensor for states in trace.states for tensor in states]
    grads = torch.autograd.grad(
        loss, flat, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    names = trace.cell.state_names
    return {
        state: trace.by_frame(list(grads[index :: len(names)])) for index, state in enumerate(names)
    }


def _cell_gradients(trace: CellTrace, name: str, loss: Tensor) -> CellGradients:
    gradients = state_gradients(trace, loss)
    mask_BT = frame_mask(trace.lengths_B, len(trace.states))
    norms = {
        state: grad_BTH.norm(dim=2).masked_fill(~mask_BT, nan)
        for state, grad_BTH in gradients.items()
    }
    norm_BT = torch.stack(list(norms.values())).norm(dim=0)
    judged = _judge(norm_BT, trace.lengths_B, trace.direction)
    return CellGradients(
        trace.layer, trace.direction, name, norm_BT, norms, *judged, gate_saturation(trace)
    )


def _judge(norm_BT: Tensor, lengths_B: Tensor, direction: str) -> tuple[Verdict, float, float]:
    """Verdict, median ratio of the frame read first to the one read last, the same per frame."""
    if not bool((lengths_B > 1).any()):
        return "too short", nan, nan
    first_B, last_B = norm_BT[:, 0].double(), at_frame(norm_BT, lengths_B - 1).double()
    if direction == "backward":
        first_B, last_B = last_B, first_B
    has_signal_B = (lengths_B > 1) & (last_B != 0)
    if not bool(has_signal_B.any()):
        return "no signal", nan, nan
    ratio_B = (first_B / last_B)[has_signal_B]
    per_frame_B = ratio_B ** (1 / (lengths_B[has_signal_B] - 1))
    ratio, per_frame = float(ratio_B.median()), float(per_frame_B.median())
    if ratio < VANISHING_RATIO:
        return "vanishing", ratio, per_frame
    # Written so that gradients that overflowed to infinity or NaN count as exploding.
    return ("healthy" if ratio <= EXPLODING_RATIO else "exploding"), ratio, per_frame


def gate_saturation(trace: CellTrace) -> tuple[GateSaturation, ...]:
    """How often each gate of bounded range stands in the outer tenth of it, at either end."""
    mask_BT = frame_mask(trace.lengths_B, len(trace.gates))
    shares = []
    for name, (low, high) in trace.cell.gate_ranges.items():
        if isinf(high):
            continue
        values_NH = trace.gate(name).detach()[mask_BT]
        margin = SATURATED_SHARE * (high - low)
        low_share = (values_NH < low + margin).double().mean()
        high_share = (values_NH > high - margin).double().mean()
        shares.append(GateSaturation(name, float(low_share), float(high_share)))
    return tuple(shares)


@contextmanager
def _eval_mode(head: Head) -> Iterator[None]:
    """Dropout off, and the mode as it was afterwards."""
    was_training = head.training
    head.eval()
    try:
        yield
    finally:
        head.train(was_training)
