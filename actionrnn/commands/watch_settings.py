"""What `live` and `timeline` are told alike: the model, how far back, what makes an event."""

from typing import Any

from jsonargparse import ArgumentParser

from actionrnn.errors import UsageError
from actionrnn.live.events import EventRules
from actionrnn.live.history import HistoryName
from actionrnn.live.timeline import WatchSettings
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY

_HISTORY = (
    "how far back a score looks: `restart` (two heads that begin anew in turn; the older, which "
    "has seen between half of --history_seconds and all of it, speaks), `window` (exactly the "
    "last --history_seconds, read anew for every frame), `forget` (everything, fading with this "
    "half-life), `whole` (everything since the start: for videos that end)"
)


def add_watch_settings(parser: ArgumentParser) -> None:
    """The settings that both verbs have."""
    add = parser.add_argument
    add("--ckpt_path", type=str, required=True, help="a trained model")
    add("--fps", type=float | None, default=None, help="samples per second; default: of training")
    add("--history", type=HistoryName, default="restart", help=_HISTORY)
    add(
        "--history_seconds",
        type=float | None,
        default=None,
        help="default: as long as the clips, or windows, of the training",
    )
    add("--on", type=str, nargs="+", default=["0.6"], help="begin: 0.6, or CLASS=0.8, or both")
    add(
        "--off",
        type=str,
        nargs="+",
        default=[],
        help="end: falls below 0.4, or CLASS=0.3; default: two thirds of --on",
    )
    add("--min_seconds", type=float, default=0.5, help="shorter events are none")
    add("--cooldown", type=float, default=0.0, help="seconds a class is silent after an event")
    add(
        "--background",
        type=str,
        nargs="+",
        default=[],
        help="classes that are no event; "
        "default: the background of timelines that it was trained on",
    )
    add("--device", type=str, default="auto", help="for backbone and head")
    add("--features.backbone.weights", type=str | None, default=None, help="weights moved here")


def watch_settings(options: Any) -> WatchSettings:
    """The settings of parsed options.

    Raises:
        UsageError: for thresholds that are none.
    """
    _fill_from_timelines(options)
    background = tuple(options.background)
    on, on_of = _thresholds("on", options.on)
    off, off_of = _thresholds("off", options.off)
    times = options.min_seconds, options.cooldown
    try:
        rules = EventRules(0.6 if on is None else on, off, on_of, off_of, *times, background)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return WatchSettings(options.history, options.history_seconds, options.fps, rules)


def _fill_from_timelines(options: Any) -> None:
    """What is not given, of a model that was trained on timelines: its background, its window."""
    saved = read_checkpoint(options.ckpt_path)[CHECKPOINT_KEY]
    if saved.get("background") is None:
        return
    options.background = options.background or [saved["background"]]
    if options.history_seconds is None:
        rate = options.fps or saved["feature_spec"]["settings"]["sampling"]["fps"]
        options.history_seconds = saved["data"]["window"] / rate


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
