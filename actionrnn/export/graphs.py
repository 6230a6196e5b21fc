"""What is exported: a whole clip to probabilities, and one frame with a state to the next."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from actionrnn.export.pictures import Pictures
from actionrnn.export.scan import stack_of, with_scans
from actionrnn.features.spec import FeatureSpec
from actionrnn.models.heads import Head, HeadState
from actionrnn.models.inputs import InputState
from actionrnn.models.stack import StackState
from actionrnn.models.tokens import TokenFrames
from actionrnn.training.recognizer import ActionRecognizer, clip_logits

Inputs = Literal["frames", "pictures", "features"]
# Sizes of the examples that graphs are traced with; all of them but D, S and V may then vary.
_CLIPS, _FRAMES, _HEIGHT, _WIDTH = 3, 5, 90, 120


class ToFeatures(nn.Module):
    """Frames, pictures or features to features as the store keeps them: (N, ...) to (S, N, D).

    S is the number of spatial views for `frames`, else 1.
    """

    def __init__(self, inputs: Inputs, spec: FeatureSpec, pipeline: nn.Module | None) -> None:
        super().__init__()
        self.inputs = inputs
        self.pictures = Pictures(spec.settings.transform)
        self.pipeline = pipeline
        self.dtype = getattr(torch, spec.settings.stored_dtype)

    def forward(self, values: Tensor) -> Tensor:
        """uint8 (N, H, W, 3), uint8 (N, 3, side, side) or float32 (N, D)."""
        if self.pipeline is None:
            return values[None].to(self.dtype).to(torch.float32)
        if self.inputs == "frames":
            views_SNCHW = self.pictures(values)
            num_views = views_SNCHW.shape[0]
            features_ND = self.pipeline(views_SNCHW.flatten(0, 1))
            features_SND = features_ND.unflatten(0, (num_views, -1))
        else:
            features_SND = self.pipeline(values)[None]
        stored: Tensor = features_SND.to(self.dtype).to(torch.float32)
        return stored


class WholeClip(nn.Module):
    """Clips to class probabilities, averaged over views as `predict` does, after calibration.

    Args:
        recognizer: the trained model.
        to_features: what stands before the head.
    """

    def __init__(self, recognizer: ActionRecognizer, to_features: ToFeatures) -> None:
        super().__init__()
        self.to_features = to_features
        self.head = with_scans(recognizer.head)
        self.temperature = recognizer.temperature

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Probabilities (clips, K).

        Args:
            values: (clips, views, frames, ...), see `ToFeatures`; for `frames` the views are the
                temporal ones.
            lengths: valid frames of each clip (all its views have the same), int64 (clips,).
        """
        clips, views, frames = values.shape[:3]
        features_SND = self.to_features(values.flatten(0, 2))
        features_CVTD = features_SND.unflatten(1, (clips, views, frames)).transpose(0, 1)
        num_views = features_CVTD.shape[1] * views
        lengths_B = lengths[:, None].expand(-1, num_views).flatten()
        logits_BK = self.head(features_CVTD.flatten(0, 2), lengths_B).logits_BK
        return _probabilities(logits_BK, num_views, self.temperature)


class Step(nn.Module):
    """One more frame of every stream and the state, to the probabilities so far and the new state.

    Attributes:
        state: names of the tensors of the state, in order.
    """

    def __init__(self, recognizer: ActionRecognizer, to_features: ToFeatures) -> None:
        super().__init__()
        self.to_features = to_features
        self.head = with_scans(recognizer.head)
        self.temperature = recognizer.temperature
        self.state = state_names(self.head)

    def forward(self, values: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Probabilities (streams, K), then the new state.

        Args:
            values: (streams, ...), see `ToFeatures`.
            state: tensors in the order of `state`.
        """
        features_SND = self.to_features(values)
        num_views = features_SND.shape[0]
        features_BD = features_SND.transpose(0, 1).flatten(0, 1)
        logits_BK, new = self.head.step(features_BD, self._structured(features_BD, state))
        return _probabilities(logits_BK, num_views, self.temperature), *self._flat(new)

    def _structured(self, features_BD: Tensor, state: tuple[Tensor, ...]) -> HeadState:
        waiting = iter(state)
        lag = self.head.inputs.longest_lag
        if self._differs:
            frames_BLD = next(waiting).unflatten(1, (lag, self.head.inputs.feature_dim))
            inputs = InputState(frames_BLD, next(waiting)[:, 0].to(torch.int64))
        else:
            frames_BLD = torch.zeros_like(features_BD)[:, None].expand(-1, lag, -1)
            inputs = InputState(frames_BLD, torch.zeros_like(features_BD[:, 0], dtype=torch.int64))
        layers: StackState
        if _counts_frames(self.head):
            layers = tuple((next(waiting)[:, 0].long(),) for _ in self.head.members)
            pooled = self.head.initial_state(features_BD.shape[0]).pooled
            # What the global token adds before the first frame; elsewhere nothing.
            first_B1 = (layers[0][0] == 0)[:, None]
            return HeadState(
                inputs,
                layers,
                tuple(each + first_B1 * start for each, start in zip(waiting, pooled, strict=True)),
            )
        layers = tuple(
            tuple(next(waiting) for _ in names)
            for member in self.head.members
            for names in _layer_states(member)
        )
        return HeadState(inputs, layers, tuple(waiting))

    def _flat(self, state: HeadState) -> list[Tensor]:
        inputs: list[Tensor] = []
        if self._differs:
            seen_B1 = state.inputs.num_frames_B[:, None].to(torch.float32)
            inputs = [state.inputs.frames_BLD.flatten(1), seen_B1]
        parts = [part for layer in state.layers for part in layer]
        if _counts_frames(self.head):
            parts = [part[:, None].to(torch.float32) for part in parts]
        return [*inputs, *parts, *state.pooled]

    @property
    def _differs(self) -> bool:
        return self.head.inputs.kinds != ("features",)


def state_names(head: Head) -> list[str]:
    """The tensors of `Step`'s state, (streams * spatial views, size) each.

    All but maxima are zero before the first frame. Features alone need no memory of the last one.
    """
    found = []
    if head.inputs.kinds != ("features",):
        found = ["last_frames", "frames_seen"]
    for place, member in enumerate(head.members):
        prefix = f"seed{place}_" if len(head.members) > 1 else ""
        if _counts_frames(member):
            found.append(f"{prefix}frames_read")
        found += [
            f"{prefix}layer{layer}_{name}"
            for layer, names in enumerate(_layer_states(member))
            for name in names
        ]
    return found + [f"pooled{place}" for place, _ in enumerate(head.initial_state(1).pooled)]


def _layer_states(head: Head) -> list[tuple[str, ...]]:
    """What each recurrent layer of a head keeps from frame to frame, by name."""
    if (stack := stack_of(head)) is None:
        return []
    return [tuple(stack.cell(n, "forward").state_names) for n in range(stack.num_layers)]


def _counts_frames(head: Head) -> bool:
    """Whether the state holds how many frames were read, where others keep states of layers."""
    return isinstance(head.members[0].encoder, TokenFrames)


def _probabilities(logits_BK: Tensor, num_views: int, temperature: float) -> Tensor:
    """Of clips whose views follow one another, (B / views, K)."""
    logits_NVK = logits_BK.unflatten(0, (-1, num_views))
    return clip_logits(logits_NVK, temperature).softmax(dim=1)


@dataclass(frozen=True)
class Traceable:
    """A module with all that an exporter must be told.

    Attributes:
        kind: `clip` or `step`.
        module: what is exported.
        examples: its arguments.
        dynamic: for each argument, the names of the dimensions that may vary.
        input_names: of the arguments.
        output_names: of the results.
    """

    kind: Literal["clip", "step"]
    module: nn.Module
    examples: tuple[Tensor, ...]
    dynamic: tuple[dict[int, str], ...]
    input_names: list[str]
    output_names: list[str]


def clip_graph(
    recognizer: ActionRecognizer, spec: FeatureSpec, inputs: Inputs, pipeline: nn.Module | None
) -> Traceable:
    """The whole clip; any number of clips and frames, and for `frames` any size of picture."""
    module = WholeClip(recognizer, ToFeatures(inputs, spec, pipeline)).eval()
    num_views = spec.settings.num_views
    if inputs == "frames":
        num_views = spec.settings.sampling.num_temporal_views
    example, sizes = _example(inputs, spec, recognizer.feature_dim, (_CLIPS, num_views, _FRAMES))
    lengths = torch.tensor([_FRAMES, 1, 2])
    dynamic = ({0: "clips", 2: "frames", **sizes}, {0: "clips"})
    return Traceable(
        "clip", module, (example, lengths), dynamic, [inputs, "lengths"], ["probabilities"]
    )


def step_graph(
    recognizer: ActionRecognizer, spec: FeatureSpec, inputs: Inputs, pipeline: nn.Module | None
) -> Traceable:
    """One frame; any number of streams. See `why_no_step` for heads that cannot."""
    module = Step(recognizer, ToFeatures(inputs, spec, pipeline)).eval()
    example, sizes = _example(inputs, spec, recognizer.feature_dim, (_CLIPS,))
    num_views = spec.settings.transform.num_views if inputs == "frames" else 1
    state = module.head.initial_state(_CLIPS * num_views)
    tensors = tuple(tensor.clone() for tensor in module._flat(state))
    if _counts_frames(module.head):  # the graph adds what stands in it
        tensors = tuple(torch.zeros_like(tensor) for tensor in tensors)
    # With several views a stream's state has as many rows, and rows cannot be named by streams.
    rows = "streams" if num_views == 1 else "rows"
    names = module.state
    return Traceable(
        "step",
        module,
        (example, *tensors),
        ({0: "streams", **sizes}, *({0: rows} for _ in tensors)),
        [inputs.removesuffix("s") if inputs != "features" else inputs, *names],
        ["probabilities", *(f"new_{name}" for name in names)],
    )


def why_no_step(head: Head) -> str:
    """Why a head cannot go frame by frame; empty where it can."""
    if head.config.reads_both_ways:
        return "a bidirectional head reads clips from their end and cannot go on frame by frame"
    if head.config.looks_ahead:
        return "inputs that look ahead need frames that are not there yet"
    return ""


def _example(
    inputs: Inputs, spec: FeatureSpec, feature_dim: int, leading: tuple[int, ...]
) -> tuple[Tensor, dict[int, str]]:
    """A tensor to trace with, and which of its last dimensions may vary."""
    if inputs == "features":
        return torch.zeros(*leading, feature_dim), {}
    if inputs == "pictures":
        side = spec.settings.transform.side
        return torch.zeros(*leading, 3, side, side, dtype=torch.uint8), {}
    example = torch.zeros(*leading, _HEIGHT, _WIDTH, 3, dtype=torch.uint8)
    return example, {len(leading): "height", len(leading) + 1: "width"}
