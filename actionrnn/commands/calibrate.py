"""`actionrnn calibrate --ckpt_path ...`: fit a temperature on validation clips, and keep it."""

import json

from jsonargparse import ArgumentParser
from rich.table import Table

from actionrnn.diagnosis.calibration import FIGURES, store_temperature
from actionrnn.errors import DataRejected, usage_errors
from actionrnn.evaluation.calibration import calibration_figures, fit_temperature
from actionrnn.evaluation.summary import plain_console
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.training.recognizer import clip_logits

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Fit, store, and show what changed; `--reset` takes the temperature away again."""
    parser = ArgumentParser(prog="actionrnn calibrate", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path", type=str, required=True, help="a trained model")
    parser.add_argument("--data.root", type=str | None, default=None, help="data moved here")
    parser.add_argument("--reset", action="store_true", help="store a temperature of 1")
    parser.add_argument(
        "--features.backbone.name", type=str | None, default=None, help="if it is code: trusted"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    with usage_errors(parser):
        options = parser.parse_args(arguments)
    if options.reset:
        store_temperature(options.ckpt_path, 1.0)
        print(json.dumps({"temperature": 1.0}) if options.json else "temperature 1 stored")
        return 0
    model = TrainedModel.load(
        options.ckpt_path, root=options["data.root"], backbone=options["features.backbone.name"]
    )
    logits_NK, target_N = clip_logits(model.score("val").double()), model.targets("val")
    temperature = fit_temperature(logits_NK, target_N)
    if temperature is None:
        raise DataRejected(
            f"the {len(target_N)} validation clips do not determine a temperature: all of them "
            f"are right, or none; nothing was stored. Validate on more or harder clips."
        )
    store_temperature(options.ckpt_path, temperature)
    before = calibration_figures(logits_NK, target_N)
    after = calibration_figures(logits_NK / temperature, target_N)
    if options.json:
        print(json.dumps({"temperature": temperature, "before": before, "after": after}))
        return 0
    table = Table("validation clips", "before", "after")
    for key, name in FIGURES.items():
        table.add_row(name, f"{before[key]:.3f}", f"{after[key]:.3f}")
    console = plain_console()
    console.print(table)
    console.print(
        f"temperature {temperature:.3f} is stored in {options.ckpt_path}: validate, test and "
        f"predict use it from now on. The order of the classes, and so every accuracy, stays."
    )
    return 0
