"""How far back a score on an endless stream looks.

Clips end, streams do not: a head that was trained on clips of T frames says little after a million.
Each of these gives scores that are exactly those of the head for some sequence of frames (or, for
`Fading`, say how they differ), at a cost per frame and in a memory that never grow.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from actionrnn.errors import UsageError
from actionrnn.models.heads import Head, HeadState

HistoryName = Literal["restart", "window", "forget", "whole"]


History = Callable[[Tensor], Tensor]
"""A head that watches a stream, several views of it side by side.

It gets the features of one more frame, (S, D), and gives the logits of every view, (S, K).
"""


class WholeHistory:
    """Everything since the start, one `Head.step` a frame; for videos that end."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._state: HeadState | None = None

    def __call__(self, features_SD: Tensor) -> Tensor:
        """See `History`."""
        logits_SK, self._state = self._head.step(features_SD, self._state)
        return logits_SK


class RestartingHistory:
    """Between the last half and the whole of `num_frames`: two heads that restart in turn.

    Every half a new one begins and the older of two takes over the word, so that it never speaks
    without a past; at the start of a stream alone it does. Two steps a frame.
    """

    def __init__(self, head: Head, num_frames: int) -> None:
        self._head = head
        self.half = max(1, num_frames // 2)
        self._older = self._younger = WholeHistory(head)
        self._num_seen = 0

    def __call__(self, features_SD: Tensor) -> Tensor:
        """See `History`."""
        if self._num_seen and self._num_seen % self.half == 0:
            if self._num_seen > self.half:
                self._older = self._younger
            self._younger = WholeHistory(self._head)
        self._num_seen += 1
        if self._younger is not self._older:
            self._younger(features_SD)
        return self._older(features_SD)


class WindowHistory:
    """Exactly the last `num_frames`, as one clip: the head reads them anew for every frame."""

    def __init__(self, head: Head, num_frames: int) -> None:
        self._head = head
        self._features: deque[Tensor] = deque(maxlen=num_frames)

    def __call__(self, features_SD: Tensor) -> Tensor:
        """See `History`."""
        self._features.append(features_SD)
        features_STD = torch.stack(list(self._features), dim=1)
        lengths_S = torch.full((len(features_STD),), len(self._features), device=features_SD.device)
        logits_SK: Tensor = self._head(features_STD, lengths_S).logits_BK
        return logits_SK


class FadingHistory:
    """Everything, fading: before each frame the state shrinks towards that of a head at rest.

    Recurrent states, and the sums of mean and attention pooling, lose half in `num_frames`. The
    frame before, of which differences are taken, stays. Otherwise as `WholeHistory`.
    """

    def __init__(self, head: Head, num_frames: int) -> None:
        if head.config.recurs and head.config.pooling == "max":
            raise UsageError(
                "--history forget: a maximum does not fade, and this head pools by max; "
                "use --history restart"
            )
        self._head = head
        self._keep = 0.5 ** (1 / num_frames)
        self._state: HeadState | None = None

    def __call__(self, features_SD: Tensor) -> Tensor:
        """See `History`."""
        if self._state is not None:
            layers, pooled = _scaled((self._state.layers, self._state.pooled), self._keep)
            self._state = HeadState(self._state.inputs, layers, pooled)
        logits_SK, self._state = self._head.step(features_SD, self._state)
        return logits_SK


def _scaled(state: Any, factor: float) -> Any:
    """Every tensor of nested plain tuples times a factor."""
    if isinstance(state, Tensor):
        return state * factor
    return tuple(_scaled(part, factor) for part in state)


def make_history(head: Head, name: HistoryName, num_frames: int) -> History:
    """The history of a name.

    Args:
        head: in eval mode.
        name: `restart`, `window`, `forget` or `whole`.
        num_frames: how far it looks back; the half-life of `forget`.

    Raises:
        UsageError: if the head cannot watch a stream, with what to train instead.
    """
    if head.config.reads_both_ways:
        raise UsageError(
            "this head is bidirectional: it reads a clip from its end too, and a stream has none. "
            "Train one that reads forward: actionrnn fit ... --model.bidirectional false"
        )
    if head.config.looks_ahead:
        back = ",".join(kind.replace("ahead", "delta") for kind in head.config.input_kinds)
        raise UsageError(
            f"this head compares frames with later ones ({','.join(head.config.input_kinds)}), "
            f"which a stream has not got yet. Train one that looks back: actionrnn fit ... "
            f"--model.inputs {back}"
        )
    if name not in (names := get_args(HistoryName)):
        raise UsageError(f"there is no history {name!r}; known: {', '.join(names)}")
    if name == "whole":
        return WholeHistory(head)
    if num_frames < 1:
        raise UsageError("--history_seconds: must hold at least one frame")
    if name == "window":
        return WindowHistory(head, num_frames)
    if name == "forget":
        return FadingHistory(head, num_frames)
    return RestartingHistory(head, num_frames)
