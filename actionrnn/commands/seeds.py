"""`fit --seeds N`: the same run several times over; and the table of several runs."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from actionrnn.errors import UsageError, when_interrupted
from actionrnn.evaluation.experiment import folder_of_many, over_seeds, shown, spread
from actionrnn.evaluation.summary import plain_console
from actionrnn.files import publish_json
from actionrnn.progress import tell
from actionrnn.training.fit import fit
from actionrnn.training.settings import Settings, changed

TITLES = {
    "accuracy": "accuracy",
    "macro_accuracy": "macro accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
}


def fit_seeds(settings: Settings) -> int:
    """Validation figures of the best epochs, their mean and spread."""
    if settings.ckpt_path:
        raise UsageError("--seeds starts new runs; resume one of them by itself: --ckpt_path")
    folder = folder_of_many(settings, "seeds")
    with when_interrupted(f"the runs that were finished are kept in {folder}"):
        found = over_seeds(
            settings, folder, lambda alone, where: fit(changed(alone, {"run.folder": str(where)}))
        )
    summary: dict[str, Any] = {
        "subset": "val",
        "seeds": {str(each.figures.seed): shown(each.figures.validation) for each in found},
        **spread([each.figures.validation for each in found]),
    }
    publish_json(folder / "seeds.json", summary)
    print_rows("seed, validation", summary["seeds"], summary["mean"], summary["sd"])
    tell(f"written: {folder / 'seeds.json'}")
    return 0


def print_rows(
    title: str,
    rows: dict[str, dict[str, float]],
    mean: dict[str, float],
    sd: dict[str, Any],
    more: Iterable[tuple[str, dict[str, str]]] = (),
) -> None:
    """A table on stdout: a line a run, then mean, spread and what else there is."""
    keys = list(mean)
    table = Table(title, *(TITLES[key] for key in keys))
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.3f}" for key in keys))
    table.add_section()
    table.add_row("mean", *(f"{mean[key]:.3f}" for key in keys))
    if len(rows) > 1:
        table.add_row("sd", *(f"{sd[key]:.3f}" for key in keys))
    for name, cells in more:
        table.add_row(name, *(cells.get(key, "-") for key in keys))
    plain_console().print(table)
