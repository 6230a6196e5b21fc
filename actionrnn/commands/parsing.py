"""What the verbs share: functions by `module:function`, words spelled out, names of outputs."""

import importlib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser


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


def output_targets(folder: Path, videos: list[str]) -> list[Path]:
    """Where each video's files go, without ending: names that repeat are numbered."""
    counts: Counter[str] = Counter()
    targets = []
    for video in videos:
        stem = Path(video).stem or "clip"
        counts[stem] += 1
        targets.append(folder / (stem if counts[stem] == 1 else f"{stem}-{counts[stem]}"))
    return targets
