"""`actionrnn timeline --ckpt_path ... long.mp4`: what happens when."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from actionrnn.commands.parsing import OPTIONAL_TEXT, options_of, verb_parser
from actionrnn.commands.trained import for_each_video, predictor_of
from actionrnn.commands.watch_settings import (
    add_thresholds,
    add_watch_settings,
    data_of,
    watch_settings,
)
from actionrnn.errors import UsageError, near_miss
from actionrnn.files import published
from actionrnn.live.timeline import Timeline, timeline_of
from actionrnn.live.timeline_files import WRITERS
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.report.html.timeline import write_timeline
from actionrnn.report.terminal import print_found
from actionrnn.report.timeline import timeline_figure, timeline_screen
from actionrnn.training.run_folder import run_folder_of

TAKES_VERB = False
FORMATS = (*WRITERS, "html", "png")


def main(arguments: list[str]) -> int:
    """A table of every video, and its files; exit code 1 if one could not be read."""
    options = _parse(arguments)
    settings = watch_settings(options)
    quiet_libraries()
    folder = Path(options.output_dir or run_folder_of(options.ckpt_path) / "timelines")
    predictor = predictor_of(options)
    settings.rules.check_classes(predictor.class_names)
    data = data_of(options.ckpt_path)

    def watch(video: str, target: Path) -> None:
        found = timeline_of(predictor, video, settings, data)
        written = _write(found, target, options.formats)
        print_found(found.to_dict(), timeline_screen(found), options.json)
        tell(f"written: {', '.join(map(str, written))}")
        seconds, wall = found.statistics.video_seconds, found.statistics.wall_seconds
        tell(f"{seconds:.1f} s of video in {wall:.1f} s: {found.cost:.0f} s per hour of video")

    return for_each_video(folder, options.videos, watch)


def _parse(arguments: list[str]) -> Any:
    parser = verb_parser("timeline")
    parser.add_argument("videos", type=str, nargs="+", help="video files, of any length")
    add_watch_settings(parser)
    add_thresholds(parser)
    parser.add_argument("--output_dir", **OPTIONAL_TEXT, help="RUN/timelines")
    parser.add_argument("--formats", **OPTIONAL_TEXT, help=f"default: {','.join(FORMATS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object a video")
    options = options_of(parser, arguments)
    options.formats = _formats(options.formats)
    return options


def _formats(words: str | None) -> list[str]:
    """Those asked for, or all that can be written here."""
    if words is None:
        if find_spec("matplotlib") is not None:
            return list(FORMATS)
        tell("note: no picture, for that needs: pip install 'actionrnn[explain]'")
        return [name for name in FORMATS if name != "png"]
    formats = [word.strip() for word in words.split(",") if word.strip()]
    for word in formats:
        if word not in FORMATS:
            hint = near_miss(word, list(FORMATS)) or f"; known: {', '.join(FORMATS)}"
            raise UsageError(f"--formats: there is no format {word!r}{hint}")
    return formats


def _write(timeline: Timeline, target: Path, formats: list[str]) -> list[Path]:
    written = []
    for name in formats:
        file = target.with_name(f"{target.name}.{name}")
        if name == "png":
            with published(file) as temporary:
                timeline_figure(timeline).savefig(temporary, dpi=110, format="png")
        elif name == "html":
            write_timeline(timeline, file)
        written += WRITERS[name](timeline, target) if name in WRITERS else [file]
    return written
