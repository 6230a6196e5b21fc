"""What `live` leaves besides its lines: clips of events, an annotated film, a page to look at."""

import os
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from actionrnn.commands.parsing import OPTIONAL_TEXT
from actionrnn.errors import UsageError
from actionrnn.live.events import Event
from actionrnn.live.preview import Preview
from actionrnn.live.recorder import Recorder
from actionrnn.live.timeline import Watching, WatchSettings
from actionrnn.live.watch import Scored
from actionrnn.progress import tell
from actionrnn.video.sources import Frame, Source

FILMS = (".mp4", ".mkv", ".mov")


def add_outputs(parser: ArgumentParser) -> None:
    """Their settings."""
    add = parser.add_argument
    add("--save", **OPTIONAL_TEXT, help="a folder for a clip of each event")
    add("--annotate", **OPTIONAL_TEXT, help="a film with scores, such as out.mp4")
    port = "a port: the latest picture in a browser of this machine; 0 takes a free one"
    add("--preview", type=int | None, default=None, help=port)


def check_outputs(options: Any) -> None:
    """Refuse what cannot be written, before anything is loaded.

    Raises:
        UsageError: for a film of another kind, or one that would replace what is watched.
    """
    film = options.annotate
    if film is None:
        return
    if Path(film).suffix.lower() not in FILMS:
        raise UsageError(f"--annotate {film}: give a name that ends in {', '.join(FILMS)}")
    there = os.path.exists(film) and os.path.exists(options.source)
    if there and os.path.samefile(film, options.source):
        raise UsageError(f"--annotate {film}: this would replace the video that is watched")


class Outputs:
    """Told every frame and what is thought of it; only what was asked for.

    Args:
        options: parsed.
        class_names: in the order of the scores.
        source: what is watched.
        watching: how.
        settings: how, as the user said it.
        drops: see `Recorder`.
    """

    def __init__(
        self,
        options: Any,
        class_names: list[str],
        source: Source,
        watching: Watching,
        settings: WatchSettings,
        drops: bool,
    ) -> None:
        self.recorder: Recorder | None = None
        self._all: list[Preview | Recorder] = []
        if options.preview is not None:
            preview = Preview(options.preview, source.name, class_names)
            tell(f"preview: {preview.address}")
            self._all.append(preview)
        if options.save or options.annotate:
            self.recorder = Recorder(
                class_names,
                source.fps,
                watching.sampler.span_seconds,
                settings.rules.least_seconds,
                drops,
                Path(options.save) if options.save else None,
                Path(options.annotate) if options.annotate else None,
            )
            self._all.append(self.recorder)

    def see(self, frame: Frame) -> None:
        """A frame has come; in the source's thread."""
        for each in self._all:
            each.see(frame)

    def judge(self, scored: Scored, events: list[Event]) -> None:
        """Scores of a moment, and what began or ended with it."""
        for each in self._all:
            each.judge(scored, events)

    def clip_of(self, event: Event) -> dict[str, str]:
        """Where the clip of an event is, for its line."""
        path = self.recorder.clip_of(event.segment) if self.recorder else None
        return {} if path is None else {"clip": str(path)}

    def close(self, events: list[Event]) -> None:
        """It is over; these events end with it."""
        for each in self._all:
            if isinstance(each, Recorder):
                each.close(events)
            else:
                each.close()
