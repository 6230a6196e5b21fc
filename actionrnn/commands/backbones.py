"""`actionrnn compare --config ... --backbones A,B=FILE`: the table of heads over backbones.

Every head chooses its settings in every fold by itself, from one space with as many trials, by
clips of that fold alone; then it is trained with every seed and tested. What was finished stays,
and the same command with the same `--run.folder` goes on.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from actionrnn.commands.fold_settings import choose
from actionrnn.commands.heads import answers_of, head_names, row_of
from actionrnn.commands.run_settings import chosen_columns, settings_with_data
from actionrnn.commands.search_space import read_space
from actionrnn.commands.sweep import check_space, import_optuna
from actionrnn.diagnosis.cost import picture_milliseconds
from actionrnn.diagnosis.heads import HeadResult, check_names, compare_heads
from actionrnn.errors import ActionRNNError, UsageError, lasting, when_interrupted
from actionrnn.evaluation.experiment import Tested, finished, fit_and_test, over_seeds
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.features.resolve import resolved
from actionrnn.features.weights import weights_identity
from actionrnn.files import publish_json, publish_text
from actionrnn.progress import tell
from actionrnn.report.backbone_table import cost_figure, markdown, print_table
from actionrnn.training.run_folder import new_run_folder
from actionrnn.training.settings import Settings, changed, recipe_of
from actionrnn.training.trainer import build

PLAN = "plan.json"


def make_table(options: argparse.Namespace, words: list[str]) -> dict[str, Any]:
    """Choose, train, test and measure every head over every backbone; write and show the table."""
    import_optuna()
    settings = settings_with_data(words)
    space = read_space(options.space or "table")
    check_space(space, settings)
    columns = chosen_columns(options.splits or "all", settings)
    backbones = at_hand(options.backbones, settings)
    first = changed(settings, next(iter(backbones.values())))
    names = options.heads.split(",") if options.heads else head_names(first)
    check_names(names)
    plan = {
        "recipe": recipe_of(settings),
        "seeds": settings.seeds,
        "columns": columns,
        "backbones": backbones,
        "heads": names,
        "space": space,
        "trials": options.trials,
        "inner": options.inner,
    }
    folder = _folder_for(settings, plan)
    again = f"what is finished is kept; the same command with --run.folder {folder} goes on"
    rows, answers = [], {}
    with when_interrupted(again):
        for name, changes in backbones.items():
            tell(f"\nbackbone {name}")
            train = partial(_chosen_and_tested, space=space, options=options)
            heads, _ = compare_heads(
                changed(settings, changes), names, columns, folder / name, options.device,
                train=train,
            )  # fmt: skip
            features = TrainedModel.load(heads[0].best).data.features
            picture_ms = picture_milliseconds(features, options.device)
            rows += [_row(name, head, picture_ms, features.sampling.num_frames) for head in heads]
            effort = f"equal effort: {options.trials} trials a fold for every head"
            answers[name] = answers_of(heads, effort)
    result = {"folder": lasting(folder), **plan, "device": options.device, "rows": rows}
    result["does_recurrence_help"] = answers
    _write(result, folder)
    if not options.json:
        print_table(result)
    return result


def at_hand(named: str, settings: Settings) -> dict[str, dict[str, str]]:
    """Of every backbone whose weights can be had its settings; the others are told.

    Args:
        named: `NAME[=WEIGHTS],...`.
        settings: the rest of the settings.

    Raises:
        UsageError: for a name that is given twice.
        ActionRNNError: if there is none.
    """
    found: dict[str, dict[str, str]] = {}
    for each in named.split(","):
        name, _, weights = each.strip().partition("=")
        if name in found:
            raise UsageError(f"--backbones names {name} twice")
        changes = {
            "features.backbone.name": name,
            "features.backbone.weights": weights or "DEFAULT",
        }
        try:
            weights_identity(resolved(build(changed(settings, changes)).data.features).backbone)
        except ActionRNNError as error:
            tell(f"left out: {name}: {error}")
        else:
            found[name] = changes
    if not found:
        raise ActionRNNError("--backbones: of none of them the weights are at hand")
    return found


def _folder_for(settings: Settings, plan: dict[str, Any]) -> Path:
    """Where the table goes, or goes on.

    Raises:
        UsageError: if another table, or something else, is there.
    """
    if not settings.run.folder:
        folder = new_run_folder(settings.run.root, f"{settings.run.name}_backbones")
    else:
        folder = Path(settings.run.folder)
    file = folder / PLAN
    if file.is_file():
        if json.loads(file.read_text()) != plan:
            raise UsageError(f"{file} is of another table; take another --run.folder")
    elif folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"--run.folder {folder} holds something else; take another")
    folder.mkdir(parents=True, exist_ok=True)
    publish_json(file, plan)
    tell(f"folder: {folder}")
    return folder


def _chosen_and_tested(
    settings: Settings,
    folder: Path,
    column: str,
    space: dict[str, Any],
    options: argparse.Namespace,
) -> list[Tested]:
    """One head on one fold: its choice, then its runs; what is there already is not done again."""
    where = folder if folder.name == column else folder / column
    one_seed = changed(settings, {"seeds": 1})
    trials, inner = options.trials, options.inner
    choice = choose(one_seed, column, where / "choice", space, trials, inner, quiet=True)

    def one(alone: Settings, place: Path) -> Tested:
        return finished(alone, place) or fit_and_test(alone, place, quiet=True)

    return over_seeds(changed(settings, choice.settings), where / "runs", one)


def _row(
    backbone: str, head: HeadResult, picture_ms: float | None, num_frames: int
) -> dict[str, Any]:
    """Of the table: what a head is, its figures, what it costs a clip and a frame."""
    return {
        "backbone": backbone,
        **row_of(head),
        "inference_ms_per_frame": head.cost.inference_ms / num_frames,
        "backbone_ms_per_frame": picture_ms,
    }


def _write(result: dict[str, Any], folder: Path) -> None:
    publish_json(folder / "table.json", result)
    pd.DataFrame(result["rows"]).to_csv(folder / "table.csv", index=False)
    publish_text(folder / "table.md", markdown(result))
    cost_figure(result["rows"]).savefig(folder / "table.png", dpi=150)
    tell(f"written: {folder / 'table'}.json, .csv, .md, .png")
