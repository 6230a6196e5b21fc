"""`actionrnn calibrate --ckpt_path ...`: fit a temperature on validation clips, and keep it."""

import json

from actionrnn.commands import calibrate_events
from actionrnn.commands.parsing import add_shared, options_of, verb_parser
from actionrnn.commands.trained import trained_model
from actionrnn.diagnosis.calibration import store_temperature
from actionrnn.errors import DataRejected
from actionrnn.evaluation.calibration import calibration_figures, fit_temperature
from actionrnn.evaluation.records import to_plain
from actionrnn.report.diagnosis_screens import CALIBRATION_FIGURES
from actionrnn.report.screen import Screen, TableView, row
from actionrnn.report.terminal import print_found
from actionrnn.training.recognizer import clip_logits

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Fit, store, and show what changed; `--reset` takes the temperature away again.

    With `--events` thresholds are fitted instead; see `calibrate_events`.
    """
    if "--events" in arguments:
        return calibrate_events.main([word for word in arguments if word != "--events"])
    parser = verb_parser("calibrate")
    add_shared(parser, "ckpt_path", "data.root")
    events = "fit thresholds of events on streams instead: actionrnn calibrate --events --help"
    parser.add_argument("--events", action="store_true", help=events)
    parser.add_argument("--reset", action="store_true", help="store a temperature of 1")
    add_shared(parser, "features.backbone.name")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    add_shared(parser, "features.backbone.weights")
    options = options_of(parser, arguments)
    if options.reset:
        store_temperature(options.ckpt_path, 1.0)
        print(json.dumps({"temperature": 1.0}) if options.json else "temperature 1 stored")
        return 0
    model = trained_model(options)
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
    found = {"temperature": temperature, "before": to_plain(before), "after": to_plain(after)}
    rows = [
        row(name, getattr(before, key), getattr(after, key))
        for key, name in CALIBRATION_FIGURES.items()
    ]
    said = (
        f"temperature {temperature:.3f} is stored in {options.ckpt_path}: validate, test and "
        f"predict use it from now on. The order of the classes, and so every accuracy, stays."
    )
    view = TableView("", ("validation clips", "before", "after"), rows)
    screen = Screen("calibrate", "Temperature", verdict=said, blocks=[view])
    print_found(found, screen, options.json)
    return 0
