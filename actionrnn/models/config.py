"""HeadConfig: every choice about a head, as plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from actionrnn.errors import near_miss

HeadName = Literal["recurrent", "mean_pool", "mean_pool_mlp", "single_frame"]
CellName = Literal["rnn", "lstm", "gru"]
Pooling = Literal["last", "mean", "max", "attention"]
InputNorm = Literal["standardize", "layer", "none"]
INPUTS = ("features", "delta", "abs_delta")


@dataclass(frozen=True)
class HeadConfig:
    """What turns features into logits.

    Args:
        head: `recurrent`, or a baseline: `mean_pool` (linear on the mean, blind to order),
            `mean_pool_mlp` (with a hidden layer), `single_frame` (linear on the middle frame).
        cell: recurrent type: `rnn` (tanh), `lstm`, `gru`.
        hidden_size: H, units per layer and direction.
        num_layers: stacked recurrent layers.
        bidirectional: read the clip in both directions (no streaming then).
        dropout: on the inputs, between layers and before the classifier, 0 <= p < 1.
        pooling: how steps become one vector: `last` valid step, `mean`, `max`, `attention`.
        inputs: comma list of `features`, `delta` (difference from the frame before), `abs_delta`.
        input_norm: `standardize` each dimension with its mean and deviation over the training
            frames, `layer` norm, or `none`.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    head: HeadName = "recurrent"
    cell: CellName = "lstm"
    hidden_size: int = 256
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.2
    pooling: Pooling = "last"
    inputs: str = "features"
    input_norm: InputNorm = "standardize"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("head", get_args(HeadName)),
            ("cell", get_args(CellName)),
            ("pooling", get_args(Pooling)),
            ("input_norm", get_args(InputNorm)),
        ):
            _require_one_of(name, getattr(self, name), allowed)
        for name in self.input_names:
            _require_one_of("inputs", name, INPUTS)
        for name in ("hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"--model.{name} {getattr(self, name)}: must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--model.dropout {self.dropout}: must be at least 0 and below 1")

    @property
    def input_names(self) -> tuple[str, ...]:
        """The parts of the input, in order."""
        return tuple(name.strip() for name in self.inputs.split(","))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HeadConfig":
        """The config that `to_dict` gave."""
        return cls(**values)


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"--model.{name} {value}: must be one of {', '.join(allowed)}"
            f"{near_miss(value, list(allowed))}"
        )
