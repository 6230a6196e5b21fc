"""HeadConfig: every setting of a head, as plain data; and the one table of heads and cells."""

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, get_args, get_origin

from actionrnn.errors import near_miss

INPUT_KINDS = ("features", "delta", "abs_delta", "ahead", "abs_ahead")
# Kinds of differences over more frames than one: delta2, abs_ahead16.
LAGGED_KIND = re.compile(r"(abs_)?(?P<way>delta|ahead)(?P<lag>[2-9]|[1-9][0-9])?")
NUM_PROBE_HEADS = 4
MOTION = "motion_"
RECURRENT_HEADS = ("recurrent", "attend_recur", "recur_attend", "conv_gru")
TOKEN_HEADS = ("attend_recur", "recur_attend", "conv_gru", "token_probe", "token_probe_ordered")


class HeadChoice(NamedTuple):
    """A head by its short name: what to call it, the settings that choose it, what it can tell.

    Attributes:
        title: for tables.
        settings: fields of `HeadConfig`; all others stay as they are.
        order_blind: it sees `features` alone, and scores are the same whatever the order of the
            frames (for `single_frame`, of those it does not look at).
    """

    title: str
    settings: dict[str, str]
    order_blind: bool = False

    @property
    def needs_places(self) -> bool:
        """It is refused on features of one cell, where it would be another head of this table."""
        return self.settings["head"] in TOKEN_HEADS[:3]


HEADS = {
    "rnn": HeadChoice("tanh RNN", {"head": "recurrent", "cell": "rnn"}),
    "lstm": HeadChoice("LSTM", {"head": "recurrent", "cell": "lstm"}),
    "gru": HeadChoice("GRU", {"head": "recurrent", "cell": "gru"}),
    "minlstm": HeadChoice("minLSTM", {"head": "recurrent", "cell": "minlstm"}),
    "mingru": HeadChoice("minGRU", {"head": "recurrent", "cell": "mingru"}),
    "mean_pool": HeadChoice("mean of frames", {"head": "mean_pool"}, order_blind=True),
    "mean_pool_mlp": HeadChoice("mean of frames, MLP", {"head": "mean_pool_mlp"}, order_blind=True),
    "single_frame": HeadChoice("middle frame", {"head": "single_frame"}, order_blind=True),
    "attentive_probe": HeadChoice("attentive probe", {"head": "attentive_probe"}, order_blind=True),
    "motion_mean_pool": HeadChoice("mean of motion", {"head": "motion_mean_pool"}),
    "motion_mean_pool_mlp": HeadChoice("mean of motion, MLP", {"head": "motion_mean_pool_mlp"}),
    "motion_attentive_probe": HeadChoice("motion probe", {"head": "motion_attentive_probe"}),
    "attend_recur": HeadChoice("attention over places, recurrence", {"head": "attend_recur"}),
    "recur_attend": HeadChoice("recurrence per place, attention", {"head": "recur_attend"}),
    "conv_gru": HeadChoice("ConvGRU", {"head": "conv_gru"}),
    "token_probe": HeadChoice("token probe", {"head": "token_probe"}, order_blind=True),
    "token_probe_ordered": HeadChoice("token probe, ordered", {"head": "token_probe_ordered"}),
}
"""Every head that can be trained beside another, by the name that `compare --heads` takes."""

CELLS = tuple(name for name, choice in HEADS.items() if "cell" in choice.settings)
CONTROLS = tuple(
    name for name, choice in HEADS.items() if choice.settings["head"] not in RECURRENT_HEADS
)


def name_of_head(head: str, cell: str) -> str:
    """The short name of a head in `HEADS`."""
    return cell if head == "recurrent" else head


def lag_of(kind: str) -> int:
    """Frames from a frame to the one it is compared with: -2 of `delta2`, 1 of `ahead`.

    0 of `features`.
    """
    found = LAGGED_KIND.fullmatch(kind)
    if found is None:
        return 0
    return int(found["lag"] or 1) * (-1 if found["way"] == "delta" else 1)


@dataclass(frozen=True)
class HeadConfig:
    """What turns the features of a clip into class scores.

    The first group of settings is used by every head, the second by those that recur (`cell` not
    by `conv_gru`), `hidden_size` by all but `mean_pool` and `single_frame`. A setting a head does
    not use is ignored by it, so that `--model.head mean_pool` alone gives the control of a
    recurrent run.

    Heads over tokens see a frame as a set of places (`features.backbone.grid`), embedded by one
    shared layer that knows which place it reads. When each pays:

    - `attend_recur` (attention over the places of every frame, then recurrence) where one place at
      a time matters and it moves: the cheapest, no dearer than `recurrent` on the whole picture.
    - `recur_attend` (one recurrence with shared weights at every place, then attention over
      places, the order of TRecViT, arXiv 2412.14294) where what changes stays in its place, as
      under a fixed camera: motion is read before anything is averaged. G times the recurrence.
    - `conv_gru` (Ballas et al., arXiv 1511.06432; 3x3 kernels) where things move from place to
      place and whence they came matters. The dearest, and the first to overfit a few clips.
    - `token_probe_ordered` (attentive probe over all tokens of all frames with frame positions
      and a global token, STEP, arXiv 2503.24298), the strongest known control: it tells early
      from late, not what followed what. If recurrence does not beat it, order is not the point.
      Never refused: without a grid it probes whole frames.
    - `token_probe`: the same without positions and global token, blind to order over `features`.
      What it gains over `attentive_probe` is due to place alone.

    Attributes:
        head: `recurrent`, a head over tokens (above), or a control. Blind to order, over
            `features` whatever `inputs` says: `mean_pool` (mean over time, linear),
            `mean_pool_mlp` (mean over time, one hidden layer), `single_frame` (the middle frame,
            linear), `attentive_probe` (4 learned queries over the frames). The same over
            differences of neighbouring frames, which do depend on their order:
            `motion_mean_pool`, `motion_mean_pool_mlp`, `motion_attentive_probe` (`abs_delta`
            where `inputs` names no difference).
        inputs: comma list, any of `features`, `delta` (x_t - x_{t-1}), `ahead` (x_{t+1} - x_t,
            which rules out frame-by-frame use), `abs_delta`, `abs_ahead` (their absolute values),
            and these over 2 to 99 frames (`delta4`, `abs_ahead2`), concatenated in this order.
            Frames before the first count as the first, frames after the last as the last. Several
            lags show slow motion beside fast.
        input_power: every feature x becomes sign(x) |x|^p before all else, 0 < p <= 1. 0.5 is the
            signed square root (Perronnin et al. 2010), which lets a few strong ones weigh less.
        grid_pooling: what becomes of the cells of a grid (`features.backbone.grid`): `concat`
            keeps them all; `max` and `mean` make one of them, of each kind of `inputs` by itself,
            so that `abs_delta` with `max` is the strongest change anywhere in the picture;
            `motion_max` takes the mean of `features` and the `max` of differences. Heads over
            tokens always keep them.
        input_norm: `standardize` (mean and deviation of every input dimension, measured on the
            training clips; for heads over tokens of every channel over all places, so that a
            place where nothing happens is not blown up), `layer` (layer norm of every frame, each
            kind by itself), `none`.
        feature_scale: what `features` are multiplied by, after `standardize`, where differences
            stand beside them, 0 < s <= 1. On few recordings what is seen tells the recordings
            apart; below 1 a head learns from motion first.
        input_dropout: share of input dimensions dropped in training, 0 <= p < 1.
        dropout: share dropped between layers and before the classifier, 0 <= p < 1.
        variational: one dropout mask for all frames of a clip (Gal & Ghahramani, arXiv
            1512.05287, on the layers' inputs), instead of a new one each frame.
        hidden_size: units per layer and direction, >= 1.
        cell: `rnn` (tanh), `lstm`, `gru`, `minlstm`, `mingru` (Feng et al., arXiv 2410.01201).
        num_layers: stacked layers, >= 1.
        bidirectional: a second reading from each clip's own end; rules out frame-by-frame use.
        pooling: `last`, `mean`, `max`, `attention` (Yang et al. 2016), over valid frames only.
        layer_norm: layer norm on the input of every layer but the first.
        residual: add a layer's input to its output (every layer but the first).
        init: `orthogonal` or `chrono` (Tallec & Ollivier, arXiv 1804.11188); see `models.init`.
        chrono_max_frames: longest dependency `chrono` prepares for, in frames, >= 3.

    Raises:
        ValueError: for a value outside these ranges, naming it and what is allowed.
    """

    head: Literal[
        "recurrent",
        "mean_pool",
        "mean_pool_mlp",
        "single_frame",
        "attentive_probe",
        "motion_mean_pool",
        "motion_mean_pool_mlp",
        "motion_attentive_probe",
        "attend_recur",
        "recur_attend",
        "conv_gru",
        "token_probe",
        "token_probe_ordered",
    ] = "recurrent"
    inputs: str = "features"
    input_power: float = 1.0
    grid_pooling: Literal["concat", "max", "mean", "motion_max"] = "concat"
    input_norm: Literal["standardize", "layer", "none"] = "standardize"
    feature_scale: float = 1.0
    input_dropout: float = 0.0
    dropout: float = 0.2
    variational: bool = False
    hidden_size: int = 256

    cell: Literal["rnn", "lstm", "gru", "minlstm", "mingru"] = "lstm"
    num_layers: int = 1
    bidirectional: bool = False
    pooling: Literal["last", "mean", "max", "attention"] = "last"
    layer_norm: bool = False
    residual: bool = False
    init: Literal["orthogonal", "chrono"] = "orthogonal"
    chrono_max_frames: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if get_origin(field.type) is Literal:
                _check_choice(field.name, getattr(self, field.name), get_args(field.type))
        _check_inputs(self._given_kinds)
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is out of range: 0 <= p < 1")
        for name in ("input_power", "feature_scale"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} is out of range: 0 < p <= 1")
        for name, least in (("hidden_size", 1), ("num_layers", 1), ("chrono_max_frames", 3)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} {value!r} is out of range: a whole number >= {least}")
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.feature_scale != 1 and self.input_norm != "standardize":
            raise ValueError(
                f"feature_scale {self.feature_scale} is taken after input_norm standardize: use it"
            )
        has_cell = self.recurs and self.head != "conv_gru"
        if has_cell and self.cell == "rnn" and self.init == "chrono":
            raise ValueError("init chrono sets gate biases and cell rnn has no gates: use another")
        has_queries = self.reads_tokens or self.architecture == "attentive_probe"
        if has_queries and self.hidden_size % NUM_PROBE_HEADS:
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide among the {NUM_PROBE_HEADS} "
                f"queries of {self.architecture}: use a multiple of {NUM_PROBE_HEADS}"
            )

    @property
    def architecture(self) -> str:
        """How the head is built; motion controls are built as the controls they are named after."""
        return self.head.removeprefix(MOTION)

    @property
    def recurs(self) -> bool:
        """Whether it has recurrent layers."""
        return self.head in RECURRENT_HEADS

    @property
    def reads_tokens(self) -> bool:
        """Whether it sees the places of a frame one by one."""
        return self.head in TOKEN_HEADS

    @property
    def reads_both_ways(self) -> bool:
        """Whether recurrent layers read clips from their end as well."""
        return self.recurs and self.bidirectional

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame is compared with later ones."""
        return any(lag_of(kind) > 0 for kind in self.input_kinds)

    @property
    def unused(self) -> tuple[str, ...]:
        """The settings that this head ignores, see the class."""
        if self.recurs:
            return ("cell",) if self.head == "conv_gru" else ()
        names = [each.name for each in fields(self)]
        found = names[names.index("cell") :]
        if self.architecture in ("mean_pool", "single_frame"):
            found.append("hidden_size")
        if HEADS[self.head].order_blind:
            found.append("inputs")
        return tuple(found)

    @property
    def input_kinds(self) -> tuple[str, ...]:
        """What this head sees, e.g. `("features", "abs_delta")`; see `head`."""
        if self.recurs or self.head == "token_probe_ordered":
            return self._given_kinds
        if not self.head.startswith(MOTION):
            return ("features",)
        return self._given_kinds if self._given_kinds != ("features",) else ("abs_delta",)

    @property
    def _given_kinds(self) -> tuple[str, ...]:
        return tuple(kind.strip() for kind in self.inputs.split(","))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `HeadConfig(**config.to_dict()) == config`."""
        return asdict(self)


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        hint = near_miss(str(value), list(allowed))
        raise ValueError(f"{name} {value!r} is not one of {', '.join(allowed)}{hint}")


def _check_inputs(kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        if LAGGED_KIND.fullmatch(kind) is None:
            _check_choice("inputs", kind, INPUT_KINDS)
    if len(set(kinds)) != len(kinds):
        raise ValueError(f"inputs {','.join(kinds)!r} names one kind twice")
