"""What `live` and `timeline` are told alike: the model, how far back, what makes an event."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from actionrnn.commands.parsing import OPTIONAL_TEXT, add_shared
from actionrnn.errors import UsageError
from actionrnn.files import sha256_of_file
from actionrnn.live.events import EventRules
from actionrnn.live.fitted import COMMAND, EVENTS_NAME, FittedEvents
from actionrnn.live.history import HistoryName
from actionrnn.live.timeline import WatchSettings
from actionrnn.progress import tell
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.run_folder import run_folder_of

_HISTORY = (
    "how far back a score looks: `restart` (two heads that begin anew in turn; the older, which "
    "has seen between half of --history_seconds and all of it, speaks), `window` (exactly the "
    "last --history_seconds, read anew for every frame), `forget` (everything, fading with this "
    "half-life), `whole` (everything since the start: for videos that end)"
)


def add_watch_settings(parser: ArgumentParser) -> None:
    """The settings of whatever watches; what is not given is as it was fitted, or usual."""
    add = parser.add_argument
    add_shared(parser, "ckpt_path")
    number: dict[str, Any] = {"type": float | None, "default": None}
    add("--fps", **number, help="samples per second; default: of training")
    add("--history", type=HistoryName | None, default=None, help=f"{_HISTORY}; default: restart")
    as_trained = "default: as long as the clips, or windows, of the training"
    add("--history_seconds", **number, help=as_trained)
    add("--min_seconds", **number, help="shorter events are none (0.5)")
    add("--cooldown", **number, help="seconds a class is silent after an event (0)")
    add("--background", type=str, nargs="+", default=None, help="classes that are no event")
    add("--device", type=str, default="auto", help="for backbone and head")
    add_shared(parser, "features.backbone.name", "features.backbone.weights")


def add_thresholds(parser: ArgumentParser) -> None:
    """When an event begins and ends."""
    add = parser.add_argument
    begin = "begin: 0.6, or CLASS=0.8, or both; default: as fitted, or 0.6"
    add("--on", type=str, nargs="+", default=[], help=begin)
    end = "end: falls below 0.4, or CLASS=0.3; default: as fitted, or two thirds of --on"
    add("--off", type=str, nargs="+", default=[], help=end)
    fitted = f"thresholds fitted by `calibrate --events`; default: RUN/{EVENTS_NAME}, if there"
    add("--events", **OPTIONAL_TEXT, help=fitted)


def watch_settings(options: Any) -> WatchSettings:
    """The settings of parsed options: those given, else those fitted, else the usual ones.

    Raises:
        UsageError: for thresholds that are none, or were fitted for another model.
    """
    fitted = _fitted(options)
    usual = usual_settings(options) if fitted is None else fitted_settings(fitted)
    on, on_of = _thresholds("on", options.on)
    off, off_of = _thresholds("off", options.off)
    rules = (usual if on is None else _but_thresholds(usual)).rules
    try:
        rules = replace(
            base_rules(options, rules),
            on=rules.on if on is None else on,
            off=off,
            on_of={**rules.on_of, **on_of},
            off_of={**{k: v for k, v in rules.off_of.items() if k not in on_of}, **off_of},
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    settings = given_settings(options, replace(usual, rules=rules))
    if fitted is not None and on is None:
        tell(f"thresholds: fitted for {fitted.wanted_per_hour:g} false alarms per hour")
        if _but_thresholds(settings) != _but_thresholds(usual):
            tell("note: they were fitted with other settings than those given now")
    return settings


def usual_settings(options: Any) -> WatchSettings:
    """How a model is watched if nothing else is said: of timelines by their window, background."""
    saved = read_checkpoint(options.ckpt_path)[CHECKPOINT_KEY]
    if saved.get("background") is None:
        return WatchSettings()
    rate = options.fps or saved["feature_spec"]["settings"]["sampling"]["fps"]
    rules = EventRules(background=(saved["background"],))
    return WatchSettings(history_seconds=saved["data"]["window"] / rate, rules=rules)


def given_settings(options: Any, usual: WatchSettings) -> WatchSettings:
    """How streams are watched: as given, else as usual."""
    names = ("history", "history_seconds", "fps")
    given = {name: options[name] for name in names if options[name] is not None}
    return replace(usual, **given)


def base_rules(options: Any, usual: EventRules) -> EventRules:
    """All of the rules but their thresholds: as given, else as usual.

    Raises:
        ValueError: for negative times.
    """
    given = {
        "least_seconds": options.min_seconds,
        "cooldown_seconds": options.cooldown,
        "background": None if options.background is None else tuple(options.background),
    }
    return replace(usual, **{name: value for name, value in given.items() if value is not None})


def fitted_settings(fitted: FittedEvents) -> WatchSettings:
    """The settings that a file of fitted thresholds stands for."""
    rules = EventRules(
        on_of={each.label: each.on for each in fitted.classes},
        off_of={each.label: each.off for each in fitted.classes},
        least_seconds=fitted.least_seconds,
        cooldown_seconds=fitted.cooldown_seconds,
        background=tuple(fitted.background),
    )
    return WatchSettings(fitted.history, fitted.history_seconds, fitted.fps, rules)


def _but_thresholds(settings: WatchSettings) -> WatchSettings:
    rules = replace(settings.rules, on=0.6, off=None, on_of={}, off_of={})
    return replace(settings, rules=rules)


def _fitted(options: Any) -> FittedEvents | None:
    """What was fitted for this model: the file that is named, or that of the run."""
    file = Path(options.events or run_folder_of(options.ckpt_path) / EVENTS_NAME)
    if not file.is_file():
        if options.events:
            raise UsageError(f"--events {file}: no such file; it is written by {COMMAND}")
        return None
    fitted = FittedEvents.load(file)
    if fitted.checkpoint == sha256_of_file(Path(options.ckpt_path)):
        return fitted
    said = f"{file} was fitted for another checkpoint than {options.ckpt_path}"
    if options.events:
        raise UsageError(f"{said}; fit it again: {COMMAND}")
    tell(f"note: {said}, and is not used; fit it again: {COMMAND}")
    return None


def _thresholds(name: str, words: list[str]) -> tuple[float | None, dict[str, float]]:
    """`0.6 fight=0.8`: the one of all classes, and those of single ones."""
    common: float | None = None
    single = {}
    for word in words:
        label, _, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"--{name} {word}: wanted 0.6, or CLASS=0.6") from None
        if label:
            single[label] = value
        else:
            common = value
    return common, single


def data_of(ckpt_path: str) -> dict[str, Any]:
    """A checkpoint's settings of the data that it was trained on."""
    data: dict[str, Any] = read_checkpoint(ckpt_path)[CHECKPOINT_KEY]["data"]
    return data
