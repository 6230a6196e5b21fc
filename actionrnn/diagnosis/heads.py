"""Several heads on the features of one recipe: accuracy, cost, and whether they differ."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actionrnn.diagnosis.cost import Cost, measure_costs
from actionrnn.errors import UsageError, near_miss
from actionrnn.evaluation.experiment import FIGURES, Tested, fit_and_test, over_seeds
from actionrnn.evaluation.folds import mean_over_folds
from actionrnn.evaluation.intervals import Figure
from actionrnn.evaluation.paired import compare
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.models.config import HEADS, name_of_head
from actionrnn.progress import tell
from actionrnn.training.settings import Settings, changed

Train = Callable[[Settings, Path, str], list[Tested]]
"""Fits and tests a head on a split column, with every seed: settings, folder, column."""


@dataclass(frozen=True)
class HeadResult:
    """One head, trained and tested on every split with every seed.

    Attributes:
        head: its name in `HEADS`.
        cost: of one clip.
        epochs, train_seconds: means over its runs.
        figures: of the test clips, by name.
        against_reference: its accuracy is `better`, `worse`, or the difference is `noise`; `?`
            where that cannot be told, empty for the reference itself.
        checkpoints: the best of each run.
    """

    head: str
    cost: Cost
    epochs: float
    train_seconds: float
    figures: dict[str, Figure]
    against_reference: str
    checkpoints: list[Path]

    @property
    def best(self) -> Path:
        """The checkpoint of its first run."""
        return self.checkpoints[0]


def compare_heads(
    settings: Settings,
    names: Sequence[str],
    columns: Sequence[str],
    folder: Path,
    device: str = "cpu",
    quiet: bool = False,
    train: Train | None = None,
) -> tuple[list[HeadResult], str]:
    """Train and test heads on one feature store, all else as in the settings.

    Args:
        settings: a recipe, with its number of seeds.
        names: of `HEADS`.
        columns: split columns that are averaged.
        folder: one run folder for each head, split and seed goes below it.
        device: where costs are measured.
        quiet: say nothing of the runs.
        train: None is `fit` and `test` with the settings as they are.

    Returns:
        A result for each name, and the head they are compared with: the recipe's own if it is
        among them, else the first.

    Raises:
        UsageError: for a name that is not in `HEADS`.
    """
    check_names(names)
    train = train or partial(_as_they_are, quiet=quiet)
    runs = {name: _train(name, settings, columns, folder / name, quiet, train) for name in names}
    tables = {name: [Predictions.load(run.folder) for run in found] for name, found in runs.items()}
    own = name_of_head(settings.model.head, settings.model.cell)
    reference = own if own in names else names[0]
    costs = _costs(runs, device)
    results = [
        HeadResult(
            head=name,
            cost=costs[name],
            epochs=statistics.fmean(run.fitted.epochs for run in found),
            train_seconds=statistics.fmean(run.fitted.seconds for run in found),
            figures=_figures(tables[name]),
            against_reference=(
                ""
                if name == reference
                else compare(tables[reference], tables[name], (reference, name))
                .figures["accuracy"]
                .verdict
            ),
            checkpoints=[run.best for run in found],
        )
        for name, found in runs.items()
    ]
    return results, reference


def check_names(names: Sequence[str]) -> None:
    """Refuse a head that is not in `HEADS`.

    Raises:
        UsageError: naming it, and those like it.
    """
    for name in names:
        if name not in HEADS:
            hint = near_miss(name, list(HEADS))
            raise UsageError(f"--heads {name}: one of {', '.join(HEADS)}{hint}")


def _as_they_are(settings: Settings, folder: Path, column: str, quiet: bool) -> list[Tested]:
    return over_seeds(settings, folder, partial(fit_and_test, quiet=quiet))


def _train(
    name: str, settings: Settings, columns: Sequence[str], folder: Path, quiet: bool, train: Train
) -> list[Tested]:
    """Fit and test one head on every split column with every seed."""
    chosen = {f"model.{key}": value for key, value in HEADS[name].settings.items()}
    runs: list[Tested] = []
    if not quiet:
        tell(f"\n{name}")
    for column in columns:
        if not quiet:
            tell(f"\n{column}")
        where = folder / column if len(columns) > 1 else folder
        fold = changed(settings, {"data.split": column, **chosen})
        runs += train(fold, where, column)
    return runs


def _costs(runs: Mapping[str, Sequence[Tested]], device: str) -> dict[str, Cost]:
    """Each head's cost on the first training batch (views and order are those of epoch 0)."""
    models = {name: TrainedModel.load(found[0].best) for name, found in runs.items()}
    batch = next(iter(next(iter(models.values())).data.loader("train", train=True)))
    return measure_costs(
        {name: model.recognizer.head.to(device) for name, model in models.items()},
        batch.features_BVTD[:, 0].to(device),
        batch.lengths_BV[:, 0].to(device),
        batch.target_B.to(device),
    )


def _figures(tables: list[Predictions]) -> dict[str, Figure]:
    means = mean_over_folds(tables)
    return {key: means[key] for key in FIGURES if key in means}
