"""`actionrnn sweep --config ...`: search settings of `fit` by validation clips alone (Optuna)."""

import argparse
import json
import shlex
import shutil
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.callbacks import Callback

from actionrnn.commands.run_settings import chosen_columns, settings_with_data
from actionrnn.commands.search_space import (
    DEFAULT,
    Space,
    combinations,
    num_combinations,
    parse_space,
    read_space,
)
from actionrnn.commands.sweep_results import (
    BROKEN_OFF,
    OBJECTIVE,
    after_trial,
    num_done,
    trials_table,
)
from actionrnn.errors import ActionRNNError, UsageError, lasting, when_interrupted
from actionrnn.evaluation.experiment import folder_of_many, spread
from actionrnn.files import publish_json, publish_text
from actionrnn.launcher import refuse_several
from actionrnn.progress import tell
from actionrnn.report.run_tables import print_top
from actionrnn.training.finite import NotFinite
from actionrnn.training.fit import fit
from actionrnn.training.run import Fitted
from actionrnn.training.settings import Settings, changed, parsed, recipe_of

TAKES_VERB = False
WARMUP_EPOCHS = 5
NUM_TRIALS = 30
TRIALS_HELP = "in all, those of a broken-off sweep among them; a smaller space is gone through once"


@dataclass(frozen=True)
class Sweep:
    """Everything a sweep needs to go on after a break; `sweep.json`.

    Attributes:
        folder: where its trials go.
        recipe: what every trial starts from, with the seed of all of them.
        columns: split columns that are averaged.
        space: see `parse_space`.
        prune: stop trials worse than the median.
    """

    folder: str
    recipe: dict[str, Any]
    columns: list[str]
    space: dict[str, Any]
    prune: bool

    def record(self) -> dict[str, Any]:
        """Plain data, with addresses in place of folders that are copies of them."""
        plain: dict[str, Any] = json.loads(lasting(json.dumps(asdict(self))))
        return plain


def main(arguments: list[str]) -> int:
    """Start or resume a sweep, run its trials, write its tables."""
    options, words = _parser().parse_known_args(arguments)
    refuse_several("sweep", "start it once; its trials follow one another, each of one process")
    import_optuna()
    sweep = _resumed(options.resume, words) if options.resume else _started(options, words)
    go_on = f"actionrnn sweep --resume {shlex.quote(sweep.folder)}"
    tell(f"sweep folder: {sweep.folder}\nafter a break: {go_on}")
    with when_interrupted(f"finished trials are kept\ngo on: {go_on}"):
        return _finish(search(sweep, options.trials, options.timeout), sweep)


def search(sweep: Sweep, num_trials: int, timeout: float | None = None) -> Any:
    """Run the trials that are not yet done; returns the Optuna study.

    A space of no more combinations than trials is gone through, each combination once.

    Args:
        sweep: what to search.
        num_trials: in all, those done before among them.
        timeout: seconds after which no trial is started.

    Raises:
        ActionRNNError: if no trial came to an end with a score.
    """
    optuna = import_optuna()
    folder, space = Path(sweep.folder), parse_space(sweep.space)
    study = _study(optuna, sweep)
    left = num_trials - num_done(study)
    if num_combinations(space) <= num_trials:
        num_trials = int(num_combinations(space))
        for params in combinations(space):  # those that have no trial yet
            study.enqueue_trial(params, skip_if_exists=True)
        left = len(study.get_trials(states=(optuna.trial.TrialState.WAITING,)))
    if left > 0:
        study.optimize(
            _objective(optuna, sweep, space),
            n_trials=left,
            timeout=timeout,
            catch=(NotFinite,),
            callbacks=[lambda study, trial: after_trial(study, trial, folder, num_trials)],
        )
    table = trials_table(study)
    if OBJECTIVE not in table:
        raise ActionRNNError(
            f"no trial of {folder} came to an end: " + ("none was run" if table.empty else
            "all were stopped for a loss that is no number; search lower learning rates")
        )  # fmt: skip
    return study


def best_trial(study: Any) -> Any:
    """The one with the best score, of equal ones the first."""
    return study.trials[int(trials_table(study).iloc[0]["trial"])]


def import_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        ActionRNNError: saying how to install it.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ActionRNNError(
            "searching settings needs Optuna, which is not installed: "
            "pip install 'actionrnn[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actionrnn sweep",
        usage="actionrnn sweep --config FILE [--trials N] [every setting of fit]",
        description=(
            "Searches settings of fit with Optuna (TPE, seeded by --seed_everything) for the best "
            "validation macro accuracy. Features are extracted once; test clips are never scored. "
            "Writes trials.csv and best.yaml, which fit --config and folds --config take."
        ),
        epilog="The default space: " + ", ".join(DEFAULT) + ". A --space file has a line for each "
        "setting, as in `model.cell: [lstm, gru]` or `model.dropout: {low: 0.0, high: 0.7}`; add "
        "`log: true` to search by factors. The other settings: actionrnn fit --help",
        allow_abbrev=False,
    )
    trials = f"{TRIALS_HELP} (default: {NUM_TRIALS})"
    parser.add_argument("--trials", type=int, default=NUM_TRIALS, help=trials)
    parser.add_argument("--timeout", type=float, help="seconds after which no trial is started")
    parser.add_argument(
        "--splits",
        help="the mean over these columns: all, or split1,split2 (default: --data.split alone). "
        "In cross-validation a clip tested in one fold is validated in another; folds --space "
        "chooses each fold's settings without any look at its test clips",
    )
    parser.add_argument("--space", help="YAML of what to search, instead of the default space")
    parser.add_argument("--prune", action="store_true", help="stop trials worse than the median")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a sweep that was broken off")
    return parser


def _started(options: argparse.Namespace, words: list[str]) -> Sweep:
    settings = settings_with_data(words)
    space = read_space(options.space)
    check_space(space, settings)
    columns = chosen_columns(options.splits, settings)
    if settings.seeds != 1:
        raise UsageError("sweep trains each trial with one seed; use --seeds with fit or folds")
    folder = folder_of_many(settings, "sweep")
    if (folder / "sweep.json").exists():
        raise UsageError(f"{folder} holds a sweep: actionrnn sweep --resume {folder}")
    sweep = Sweep(str(folder), recipe_of(settings), columns, space, options.prune)
    publish_json(folder / "sweep.json", sweep.record())
    return sweep


def check_space(space: dict[str, Any], settings: Settings) -> None:
    """Refuse a space with settings that do not exist, or values they cannot have.

    Raises:
        UsageError: naming the setting.
        ActionRNNError: see `parse_space`.
    """
    for name, values in parse_space(space).items():
        for value in values.examples:
            changed(settings, {name: value})


def _resumed(folder: str, words: list[str]) -> Sweep:
    if words:
        raise UsageError(f"--resume keeps the sweep's own settings; leave out {' '.join(words)}")
    file = Path(folder, "sweep.json")
    if not file.is_file():
        raise ActionRNNError(f"--resume {folder}: no sweep.json here, so no sweep to go on with")
    return Sweep(**{**json.loads(file.read_text()), "folder": folder})


def _study(optuna: Any, sweep: Sweep) -> Any:
    study = optuna.create_study(
        study_name="sweep",
        storage=f"sqlite:///{Path(sweep.folder, 'study.db').resolve()}",
        load_if_exists=True,
        direction="maximize",
        pruner=_pruner(optuna, sweep) if sweep.prune else optuna.pruners.NopPruner(),
    )
    seed = sweep.recipe["seed_everything"]
    # A sampler that began again with the same seed would repeat its first suggestions.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    for trial in study.trials:
        if not trial.state.is_finished():  # it ran when the sweep was broken off: once more
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
            study.set_user_attr(BROKEN_OFF, study.user_attrs.get(BROKEN_OFF, 0) + 1)
    return study


def _pruner(optuna: Any, sweep: Sweep) -> Any:
    # Epochs of the learning rate's warm-up say nothing; splits say something from the first on.
    steps = WARMUP_EPOCHS if len(sweep.columns) == 1 else 0
    return optuna.pruners.MedianPruner(n_warmup_steps=steps)


class ReportEpochs(Callback):
    """Tells a trial its validation score after every epoch, and stops it where it is hopeless."""

    def __init__(self, trial: Any, pruned: type[Exception]) -> None:
        self.trial = trial
        self.pruned = pruned

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and raise if the trial should be pruned."""
        score = float(trainer.callback_metrics[f"val/{OBJECTIVE}"])
        self.trial.report(score, trainer.current_epoch)
        if self.trial.should_prune():
            raise self.pruned


def _objective(optuna: Any, sweep: Sweep, space: Space) -> Callable[[Any], float]:
    """The function that fits one trial on every split column and gives the mean score."""

    def score(trial: Any) -> float:
        params = {name: entry.suggest(name, trial) for name, entry in space.items()}
        for twin in trial.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
            if twin.params == params:  # it would score the same: runs depend on the seed alone
                for key, value in twin.user_attrs.items():
                    trial.set_user_attr(key, value)
                return float(twin.value)
        plain = {"trainer.logger": False, "refit": False, "inner": 0}
        settings = changed(parsed(sweep.recipe), {**plain, **params})
        by_epoch = sweep.prune and len(sweep.columns) == 1
        watchers = [ReportEpochs(trial, optuna.TrialPruned)] if by_epoch else []
        runs: list[Fitted] = []
        for step, column in enumerate(sweep.columns):
            folder = Path(sweep.folder, "trials", f"{trial.number:04d}", column)
            here = changed(settings, {"data.split": column, "run.folder": str(folder)})
            try:
                runs.append(fit(here, watchers, quiet=True))
            finally:  # trials are many and their weights of no use: best.yaml trains them again
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            scores = [run.figures.validation[OBJECTIVE] for run in runs]
            if sweep.prune and not by_epoch:
                trial.report(statistics.fmean(scores), step)
                if trial.should_prune():
                    raise optuna.TrialPruned
        _note(trial, runs)
        return statistics.fmean(scores)

    return score


def _note(trial: Any, runs: list[Fitted]) -> None:
    found = spread([run.figures.validation for run in runs])
    notes = {
        **found["mean"],
        "sd": found["sd"][OBJECTIVE],
        "seconds": round(sum(run.figures.seconds for run in runs), 1),
        "num_parameters": runs[0].figures.num_parameters,
    }
    for key, value in notes.items():
        trial.set_user_attr(key, value)


def _finish(study: Any, sweep: Sweep) -> int:
    best = Path(sweep.folder, "best.yaml")
    _write_best(best_trial(study), sweep, best)
    print_top(trials_table(study), sweep.columns, OBJECTIVE)
    tell(
        f"written: {best.with_name('trials.csv')}, {best}\n"
        f"next: actionrnn fit --config {best}\n"
        f"      actionrnn folds --config {best}"
    )
    return 0


def _write_best(trial: Any, sweep: Sweep, target: Path) -> None:
    """The recipe of a trial, on the sweep's first split."""
    settings = changed(parsed(sweep.recipe), {"data.split": sweep.columns[0], **trial.params})
    header = (
        f"# Trial {trial.number} of a sweep, chosen by validation {OBJECTIVE} on {sweep.columns}\n"
    )
    text = yaml.safe_dump(recipe_of(settings), sort_keys=False)
    publish_text(target, header + text)
