"""`actionrnn calibrate --events ...`: thresholds of events for a rate of false alarms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.commands.trained import predictor_of
from actionrnn.commands.watch_settings import (
    add_watch_settings,
    base_rules,
    data_of,
    given_settings,
    usual_settings,
)
from actionrnn.errors import UsageError
from actionrnn.evaluation.records import save_record, to_plain
from actionrnn.files import sha256_of_file
from actionrnn.live.fitted import (
    EVENTS_NAME,
    Achieved,
    FittedEvents,
    fit_events,
    read_streams,
)
from actionrnn.live.thresholds import Recording
from actionrnn.live.timeline import timeline_of
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.report.screen import Screen, TableView, row
from actionrnn.report.terminal import print_found
from actionrnn.training.run_folder import run_folder_of


def main(arguments: list[str]) -> int:
    """Watch the recordings, fit, write, and say what is achieved."""
    options = _parse(arguments)
    quiet_libraries()
    usual = usual_settings(options)
    try:
        rules = base_rules(options, usual.rules)
    except ValueError as error:
        raise UsageError(str(error)) from error
    settings = given_settings(options, replace(usual, rules=rules))
    predictor = predictor_of(options)
    names = predictor.class_names
    rules.check_classes(names)
    streams = read_streams(Path(options.streams), names)
    data = data_of(options.ckpt_path)
    recordings = []
    for number_of, (video, truth) in enumerate(streams.items(), start=1):
        tell(f"{number_of} of {len(streams)}: {video}")
        found = timeline_of(predictor, str(video), settings, data)
        recordings.append(Recording(found.seconds_T, found.probs_TK, found.span_seconds, truth))
    classes, here, apart = fit_events(
        recordings, names, rules, options.alarms_per_hour, options.tolerance
    )
    fitted = FittedEvents(
        sha256_of_file(Path(options.ckpt_path)),
        settings.history,
        settings.history_seconds,
        settings.fps,
        rules.least_seconds,
        rules.cooldown_seconds,
        list(rules.background),
        options.tolerance,
        options.alarms_per_hour,
        sum(each.seconds for each in recordings) / 3600,
        len(recordings),
        classes,
        here,
        apart,
    )
    file = Path(options.output or run_folder_of(options.ckpt_path) / EVENTS_NAME)
    save_record(file, fitted)
    print_found(to_plain(fitted), events_screen(fitted), options.json)
    used = f"--events {file}" if options.output else "this run"
    tell(f"written: {file}; live and timeline take these thresholds with {used}")
    return 0


def _parse(arguments: list[str]) -> Any:
    parser = verb_parser("calibrate --events")
    add = parser.add_argument
    add("--streams", type=str, required=True, help="a table video,start,end,label")
    add("--alarms_per_hour", type=float, default=1.0, help="false ones, of all classes together")
    add("--tolerance", type=float, default=1.0, help="an alarm so soon after a segment is its own")
    add_watch_settings(parser)
    add("--output", type=str | None, default=None, help=f"default: RUN/{EVENTS_NAME}")
    add("--json", action="store_true", help="one JSON object on stdout")
    options = options_of(parser, arguments)
    for name in ("alarms_per_hour", "tolerance"):
        if not 0 <= options[name] < float("inf"):
            raise UsageError(f"--{name} {options[name]}: must not be negative")
    if not Path(options.streams).is_file():
        raise UsageError(f"--streams {options.streams}: no such file")
    return options


def events_screen(fitted: FittedEvents) -> Screen:
    """What `calibrate --events` prints."""
    rows = [
        row(
            each.label,
            each.on,
            each.off,
            f"{each.num_found} of {each.num_true}" if each.num_true else "never happens",
            each.num_false,
        )
        for each in fitted.classes
    ]
    columns = ("class", "on", "off", "found", "false alarms")
    verdict = f"on these recordings: {_said(fitted.here)}"
    if fitted.left_out is None:
        verdict += ". A single recording says nothing of others: give several."
    else:
        verdict += (
            f"\non each recording, with thresholds fitted to the others, as to be expected on new "
            f"ones: {_said(fitted.left_out)}"
        )
    title = f"{fitted.hours:.3g} h in {fitted.num_recordings} recordings"
    table = TableView(title, columns, rows)
    return Screen("events", "Events", verdict, fitted.too_little, blocks=[table])


def _said(done: Achieved) -> str:
    recall = "no segments" if not done.num_true else f"{done.num_found} of {done.num_true} found"
    if done.recall_interval:
        recall += " (95 %: {:.0%} to {:.0%})".format(*done.recall_interval)
    rate = f"{done.per_hour:.3g} false alarms per hour"
    if done.per_hour_interval:
        rate += " (95 %: {:.3g} to {:.3g})".format(*done.per_hour_interval)
    few = "" if done.per_hour_interval else "; too few recordings for intervals"
    return f"{recall}, {rate}{few}"
