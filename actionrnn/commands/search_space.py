"""What `actionrnn sweep` may choose: settings of `fit`, each with choices or a range."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from actionrnn.commands.config import read_yaml
from actionrnn.commands.recipes import found_config
from actionrnn.errors import ActionRNNError

DEFAULT: dict[str, Any] = {
    "model.cell": ["lstm", "gru", "minlstm", "mingru"],
    "model.hidden_size": [16, 32, 64, 128, 256],
    "model.pooling": ["last", "mean", "max", "attention"],
    "model.inputs": ["features", "abs_delta", "features,abs_delta"],
    "model.dropout": {"low": 0.0, "high": 0.7},
    "model.input_dropout": {"low": 0.0, "high": 0.7},
    "model.label_smoothing": [0.0, 0.1],
    "model.mixup": [0.0, 0.2],
    "model.weight_decay": {"low": 1e-3, "high": 0.3, "log": True},
    "model.learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
}


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    examples: tuple[str | int | float | bool, ...]

    def suggest(self, name: str, trial: Any) -> Any:
        """Let a trial choose."""
        return trial.suggest_categorical(name, list(self.examples))


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, whole if both are; `log`: tenfold steps count alike."""

    low: int | float
    high: int | float
    log: bool = False

    @property
    def examples(self) -> tuple[Any, ...]:
        """Its ends."""
        return self.low, self.high

    def suggest(self, name: str, trial: Any) -> Any:
        """Let a trial choose."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        suggest: Callable[..., Any] = trial.suggest_int if whole else trial.suggest_float
        return suggest(name, self.low, self.high, log=self.log)


Space = dict[str, Choice | Range]


def read_space(path: str | None) -> dict[str, Any]:
    """The lines of a YAML file, or the default space, as plain data.

    A file has a line for each setting: `model.cell: [lstm, gru]` or
    `model.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}`.
    """
    return DEFAULT if path is None else read_yaml(found_config(path, "sweep"))


def parse_space(content: dict[str, Any]) -> Space:
    """What a trial chooses of each setting.

    Raises:
        ActionRNNError: naming the setting that is neither choices nor a range.
    """
    if not content:
        raise ActionRNNError("the search space is empty: --space FILE needs a line for a setting")
    return {name: _entry(name, value) for name, value in content.items()}


def num_combinations(space: Space) -> float:
    """How many there are; infinite where there is a range."""
    return math.prod(
        len(entry.examples) if isinstance(entry, Choice) else math.inf for entry in space.values()
    )


def combinations(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of a space of choices alone."""
    values = [entry.examples for entry in space.values() if isinstance(entry, Choice)]
    return (dict(zip(space, picked, strict=True)) for picked in itertools.product(*values))


def _entry(name: str, value: Any) -> Choice | Range:
    if isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value):
        return Choice(tuple(value))
    if isinstance(value, dict) and {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        low, high = (_number(value[key]) for key in ("low", "high"))
        log = bool(value.get("log", False))
        if low is not None and high is not None and low < high and (low > 0 or not log):
            return Range(low, high, log)
    raise ActionRNNError(
        f"search space, {name}: {value!r} is neither choices, as in [lstm, gru], nor a range, "
        f"as in {{low: 0.0001, high: 0.01, log: true}} (low < high; with log low > 0)"
    )


def _number(value: Any) -> int | float | None:
    """YAML reads `1e-4` as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
