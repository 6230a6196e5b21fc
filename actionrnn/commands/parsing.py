"""What the verbs' parsers share: functions named by `module:function`, words spelled out."""

import importlib
from collections.abc import Callable
from itertools import pairwise
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
