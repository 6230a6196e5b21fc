"""What the verbs share: parsers and options, functions by `module:function`, names of outputs."""

import importlib
from collections import Counter
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from actionrnn.errors import UsageError, near_miss, usage_errors

OPTIONAL_TEXT: dict[str, Any] = {"type": str | None, "default": None}
SHARED_OPTIONS: dict[str, dict[str, Any]] = {
    "ckpt_path": {"type": str, "required": True, "help": "a trained model"},
    "data.root": {**OPTIONAL_TEXT, "help": "data moved here"},
    "features.backbone.name": {**OPTIONAL_TEXT, "help": "if it is code: trusted"},
    "features.backbone.weights": {**OPTIONAL_TEXT, "help": "weights moved here"},
}


def verb_parser(verb: str, description: str | None = None) -> ArgumentParser:
    """The parser of a verb, which takes whole names alone; for `options_of`."""
    return ArgumentParser(
        prog=f"actionrnn {verb}", exit_on_error=False, allow_abbrev=False, description=description
    )


def add_shared(parser: ArgumentParser, *names: str) -> None:
    """Give a verb options that others have too, in this order."""
    for name in names:
        parser.add_argument(f"--{name}", **SHARED_OPTIONS[name])


def options_of(parser: ArgumentParser, arguments: list[str]) -> Any:
    """What the words of a command line come to.

    Raises:
        UsageError: for an option that does not exist or cannot have its value.
    """
    with usage_errors(parser):
        return parser.parse_args(arguments)


def import_function(address: str) -> Callable[..., Any]:
    """The function at `module:function`."""
    module, _, name = address.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def spelled_out(parser: ArgumentParser, arguments: list[str]) -> list[str]:
    """`--download` for `--download true`, and `--group-regex` for `--group_regex`."""
    known = {option: action for action in parser._actions for option in action.option_strings}
    words = []
    for word, following in pairwise([*arguments, "--"]):
        option, equals, value = word.partition("=")
        name = "--" + option.removeprefix("--").replace("-", "_")
        if not word.startswith("--") or name not in known:
            words.append(word)
            continue
        bare = isinstance(known[name].default, bool) and not equals and following.startswith("--")
        words.append(f"{name}=true" if bare else f"{name}{equals}{value}")
    return words


def job_of(arguments: list[str], known: Collection[str], what: str) -> tuple[str, list[str]]:
    """The first word, which must be one that is known, and the words after it.

    Raises:
        UsageError: for another word; it is called `what`.
    """
    job, *rest = arguments
    if job not in known:
        raise UsageError(f"there is no {what} {job!r}{near_miss(job, list(known))}")
    return job, rest


def output_targets(folder: Path, videos: list[str]) -> list[Path]:
    """Where each video's files go, without ending: names that repeat are numbered."""
    counts: Counter[str] = Counter()
    targets = []
    for video in videos:
        stem = Path(video).stem or "clip"
        counts[stem] += 1
        targets.append(folder / (stem if counts[stem] == 1 else f"{stem}-{counts[stem]}"))
    return targets
