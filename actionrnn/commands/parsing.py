"""What the verbs' parsers share: clear errors, and functions named by `module:function`."""

import argparse
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from jsonargparse import ArgumentParser

from actionrnn.errors import UsageError, near_miss


def import_function(address: str) -> Callable[..., Any]:
    """The function at `module:function`."""
    module, _, name = address.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


@contextmanager
def usage_errors(parser: ArgumentParser) -> Iterator[None]:
    """Turn the parser's errors into ours: the key, the value, what is allowed, what was meant."""
    try:
        yield
    except argparse.ArgumentError as error:
        raise UsageError(_clearer(str(error), parser)) from error


def _clearer(message: str, parser: ArgumentParser) -> str:
    if unknown := re.search(r"does not accept option '([^']+)'|rguments: --([\w.]+)", message):
        key = unknown[1] or unknown[2]
        return f"there is no setting --{key}{near_miss(key, settings_of(parser))}"
    if wrong := re.search(r'key "([^"]+)":.*?Literal\[(.*?)\]\. Got value: (\S+)', message, re.S):
        allowed = [word.strip(" '\"") for word in wrong[2].split(",")]
        return (
            f"--{wrong[1]} {wrong[3]}: must be one of {', '.join(allowed)}"
            f"{near_miss(wrong[3], allowed)}"
        )
    return message


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


def settings_of(parser: ArgumentParser) -> list[str]:
    """Every setting a parser knows, such as `model.cell`."""
    return [
        option.removeprefix("--")
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    ]
