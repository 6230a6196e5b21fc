"""Several heads on the features of one run: accuracy, cost, and how far gradients reach."""

from typing import Any

import pandas as pd

from actionrnn.diagnosis.baselines import train_head
from actionrnn.diagnosis.gradients import diagnose_gradients
from actionrnn.evaluation.comparison import compare, verdict
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


def compare_heads(
    run: TrainedModel,
    variants: dict[str, dict[str, Any]] | None = None,
    subset: Subset = "test",
) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """Train heads as the run's was trained, each with some settings of its own.

    Args:
        run: whose features, splits, settings and seed are used.
        variants: settings of each head by name; None is `CELLS`. The first is what the others
            are compared with.
        subset: the part they are scored on.

    Returns:
        A row for each head: `accuracy`, `low` and `high` (95 % over groups), `against_first`
        (`better`, `worse`, `noise`, `?`), `parameters`, `multiply_adds` of a clip, training
        `seconds`; and the mean gradient norm by frame of each recurrent head's first layer.
    """
    rows, norms, first = [], {}, None
    for name, options in (variants or CELLS).items():
        model, seconds = train_head(run, **options)
        scored = model.predictions(subset)
        first = first or scored
        rows.append({"head": name, **_figures(model, scored, first), "seconds": seconds})
        if model.recognizer.head_config.head == "recurrent":
            norms[name] = diagnose_gradients(model)["layers"][0]["norms"]
    return pd.DataFrame(rows).set_index("head"), norms


def _figures(model: TrainedModel, scored: Predictions, first: Predictions) -> dict[str, Any]:
    summary = summarise(scored)
    low, high = summary["intervals"]["accuracy"] or (float("nan"), float("nan"))
    entries = model.data.store.entries.values()
    num_frames = max(entry.num_frames for entry in entries)
    return {
        "accuracy": summary["accuracy"],
        "low": low,
        "high": high,
        "against_first": ""
        if scored is first
        else verdict("accuracy", compare(first, scored, ("first", "this"))),
        "parameters": model.recognizer.head.num_parameters,
        "multiply_adds": model.recognizer.head.macs(num_frames),
    }
