"""`fit`, `validate`, `test`, `predict`: Lightning's verbs, runs over seeds, plain video files."""

import shlex
from typing import Any

from actionrnn.cli import VERBS
from actionrnn.commands.config import names_data
from actionrnn.commands.help_page import print_help
from actionrnn.commands.predict_files import names_files, predict_files
from actionrnn.commands.run_settings import settings_of
from actionrnn.errors import UsageError, when_interrupted
from actionrnn.evaluation.experiment import (
    folder_of_many,
    over_seeds,
    score,
    seeds_of,
    shown,
    spread,
    test_and_keep,
)
from actionrnn.evaluation.summary import summarise
from actionrnn.files import publish_bytes, publish_json
from actionrnn.live.recordings import judge, judge_and_keep
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.report.run_screens import summary_screen
from actionrnn.report.run_tables import print_rows
from actionrnn.report.terminal import print_ranking, print_screen
from actionrnn.report.timeline_summary import timeline_summary_screen
from actionrnn.training.checkpoint import background_of, joined, read_checkpoint, sealed
from actionrnn.training.fit import fit
from actionrnn.training.run import FitFigures
from actionrnn.training.selection import FEW_CLIPS
from actionrnn.training.settings import Settings, changed

TAKES_VERB = True


def main(verb: str, arguments: list[str]) -> int:
    """Run one of Lightning's verbs."""
    quiet_libraries()
    if "--help" in arguments or "-h" in arguments:
        print_help(verb, VERBS[verb].purpose, everything="all" in arguments)
        return 0
    if verb == "predict" and names_files(arguments):
        return predict_files(arguments)
    settings = settings_of(verb, arguments)
    if verb == "fit" and not settings.ckpt_path and not names_data(arguments):
        raise UsageError(
            "fit what? Try actionrnn demo; or prepare your videos and train on them:\n"
            "  actionrnn prepare folder --source my_videos --root data/mine\n"
            "  actionrnn fit --config own --data.root data/mine"
        )
    if verb == "fit" and len(seeds_of(settings)) > 1:
        return fit_seeds(settings)
    {"fit": _fit, "validate": _validate, "test": _test, "predict": _predict}[verb](settings)
    return 0


def _fit(settings: Settings) -> None:
    fitted = fit(settings)
    if settings.trainer.fast_dev_run:
        tell("fast_dev_run: its batches went through; nothing was written")
        return
    figures = fitted.figures
    if figures.validation:
        tell(validation_line(figures))
    else:
        tell(f"trained for {figures.seconds:.1f} s; nothing was validated, so no epoch is best")
    if fitted.best is None:
        tell("no checkpoint was saved: --trainer.enable_checkpointing is false")
    else:
        tell(f"next: actionrnn test --ckpt_path {shlex.quote(str(fitted.best))}")


def validation_line(figures: FitFigures) -> str:
    """What validation came to, on how many clips, and what one seed on so few is worth."""
    score = figures.validation.get("macro_accuracy", 0.0)
    which = "of the last epoch" if figures.kept == "last" else "of the best epoch"
    if figures.refit:
        which = "before it was trained with them"
    line = (
        f"validation macro accuracy {score:.3f} {which} ({figures.num_val_clips} clips), "
        f"{figures.seconds:.1f} s"
    )
    if figures.num_val_clips < FEW_CLIPS:
        line += "\nfew clips: another seed may differ by much; --seeds 3 shows the spread"
    return line


def fit_seeds(settings: Settings) -> int:
    """Validation figures of every seed, their mean and spread; one checkpoint that holds all."""
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
    files = [each.best for each in found if each.best is not None]
    if len(files) == len(found):
        together = folder / "checkpoints" / "best.ckpt"
        together.parent.mkdir(exist_ok=True)
        publish_bytes(together, sealed(joined([read_checkpoint(file) for file in files])))
        tell(
            f"{len(found)} seeds as one model, by their mean probability: {together}\n"
            f"next: actionrnn test --ckpt_path {shlex.quote(str(together))}"
        )
    return 0


def _validate(settings: Settings) -> None:
    _check(settings, "validate")
    if background_of(settings.ckpt_path) is not None:
        print_screen(timeline_summary_screen(judge("validate", settings)[0]))
        return
    print_screen(summary_screen(summarise(score("validate", settings))))


def _test(settings: Settings) -> None:
    _check(settings, "test")
    if background_of(settings.ckpt_path) is not None:
        judged = judge_and_keep(settings)
        print_screen(timeline_summary_screen(judged.summary))
        tell(f"written: {judged.steps}, {judged.metrics}")
        return
    results = test_and_keep(settings)
    print_screen(summary_screen(results.summary))
    if results.metrics is None:
        tell("nothing was written: give a part's results a place with --run.folder")
    else:
        tell(f"written: {results.predictions}, {results.metrics}")


def _predict(settings: Settings) -> None:
    """Rank the classes of every clip of `data.subset`."""
    _check(settings, "predict")
    predictions = score("predict", settings)
    for row in predictions.table.itertuples():
        print_ranking(str(row.path), predictions.class_names, row.probs, str(row.error))
    if predictions.part:
        tell(f"PART: {predictions.part} were scored (--trainer.limit_*_batches, fast_dev_run)")


def _check(settings: Settings, verb: str) -> None:
    if settings.seeds != 1:
        raise UsageError(f"--seeds {settings.seeds}: only fit, folds and compare repeat runs")
    if not settings.ckpt_path:
        raise UsageError(
            f"{verb} needs a trained model: actionrnn {verb} --ckpt_path RUN/checkpoints/best.ckpt"
        )
