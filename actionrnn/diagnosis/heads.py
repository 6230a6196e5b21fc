"""Several heads on the features of one run: accuracy, cost, and how far gradients reach."""

from dataclasses import dataclass
from typing import Any

from actionrnn.diagnosis.baselines import train_head
from actionrnn.diagnosis.gradients import diagnose_gradients
from actionrnn.evaluation.comparison import compare
from actionrnn.evaluation.intervals import Figure
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import summarise
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.data import Subset

CELLS: dict[str, dict[str, Any]] = {
    "LSTM": {"head": "recurrent", "cell": "lstm"},
    "GRU": {"head": "recurrent", "cell": "gru"},
    "tanh RNN": {"head": "recurrent", "cell": "rnn"},
    "minGRU": {"head": "recurrent", "cell": "mingru"},
    "mean of frames": {"head": "mean_pool"},
    "middle frame": {"head": "single_frame"},
}


@dataclass(frozen=True)
class ComparedHead:
    """A head trained beside the others.

    Attributes:
        head: its name.
        accuracy: with a 95 % interval over groups.
        against_first: `better`, `worse`, `noise` or `?` (see `comparison`); empty for the first.
        parameters, multiply_adds: of the head; of one clip.
        seconds: of training.
        norms: mean gradient norm by frame of its first layer; empty without recurrence.
    """

    head: str
    accuracy: Figure
    against_first: str
    parameters: int
    multiply_adds: int
    seconds: float
    norms: list[float]


def compare_heads(
    run: TrainedModel,
    variants: dict[str, dict[str, Any]] | None = None,
    subset: Subset = "test",
) -> list[ComparedHead]:
    """Train heads as the run's was trained, each with some settings of its own.

    Args:
        run: whose features, splits, settings and seed are used.
        variants: settings of each head by name; None is `CELLS`. The first is what the others
            are compared with.
        subset: the part they are scored on.
    """
    rows: list[ComparedHead] = []
    first: Predictions | None = None
    for name, options in (variants or CELLS).items():
        model, seconds = train_head(run, **options)
        scored = model.predictions(subset)
        found = compare([first], [scored], ("first", name)).figures["accuracy"] if first else None
        first = first or scored
        head = model.recognizer.head
        num_frames = max(entry.num_frames for entry in run.data.store.entries.values())
        recurrent = model.recognizer.head_config.head == "recurrent"
        rows.append(
            ComparedHead(
                head=name,
                accuracy=summarise(scored).figures["accuracy"],
                against_first=found.verdict if found else "",
                parameters=head.num_parameters,
                multiply_adds=head.macs(num_frames),
                seconds=seconds,
                norms=diagnose_gradients(model).layers[0].norms if recurrent else [],
            )
        )
    return rows
