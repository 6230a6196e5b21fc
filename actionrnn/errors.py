"""The two roots of every error a user can cause or meet.

The command line prints `str(error)` of these without a traceback, so a message says what is
wrong, where (file, line, key), what is allowed, and the next step.
"""

import argparse
import difflib
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

SURROGATES = "\ud800-\udfff"
CONTROL_CHARACTERS = re.compile(f"[\x00-\x1f\x7f-\x9f{SURROGATES}]")
"""What a terminal obeys, and bytes that are no text (`os` hands them over as lone surrogates)."""

# The same, the ends of lines that Unicode added, and marks that turn the direction of writing.
_NOT_SHOWN = re.compile(f"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069{SURROGATES}]")


class ActionRNNError(Exception):
    """Anything that went wrong and that the user can act on (exit code 1)."""


class DataRejected(ActionRNNError):
    """The data is readable but must not be used as asked: a leak, too many bad clips (exit 3)."""


class Unreachable(ActionRNNError):
    """Data on an address that cannot be read or written now; nothing is known to be wrong with it.

    Where a file's own faults are recorded, this ends the run.
    """


class UsageError(ActionRNNError):
    """The words of a command line, or the keys of a config, are wrong (exit code 2)."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what is kept and what to type next (exit 130)."""


@contextmanager
def when_interrupted(message: str) -> Iterator[None]:
    """Say of a Ctrl-C in the block what is kept, and what to type next."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; {message}") from stop


def of_the_system(error: OSError) -> str:
    """The line about a file or folder that the system refuses."""
    if error.filename is None or error.strerror is None:
        return str(error)
    said = f"{error.filename}: {error.strerror}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        said += (
            "; name a place that you may write to or read from (--run.root, --root, --output), or "
            "change its permissions"
        )
    return said


def own_fault(error: Exception) -> str:
    """The line about an error that nobody should have met."""
    return (
        f"this is a fault of actionrnn itself ({type(error).__name__}: {condensed(str(error))}). "
        f"Please report it, with the command and what it prints with --debug"
    )


def near_miss(word: str, known: list[str]) -> str:
    """`; did you mean ...?` when a known word is close, else the empty string."""
    close = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Turn a parser's errors into ours: the key, the value, what is allowed, what was meant."""
    try:
        yield
    except argparse.ArgumentError as error:
        raise UsageError(_clearer(str(error), parser)) from error


def known_settings(parser: argparse.ArgumentParser) -> list[str]:
    """Every setting a parser knows, such as `model.cell`."""
    return [
        option.removeprefix("--")
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    ]


def _clearer(message: str, parser: argparse.ArgumentParser) -> str:
    if unknown := re.search(
        r"(?:Group '([\w.]+)' does not accept option|Option|rguments:) (?:'|--)([\w.]+)", message
    ):
        key = f"{unknown[1]}.{unknown[2]}" if unknown[1] else unknown[2]
        return f"there is no setting --{key}{near_miss(key, known_settings(parser))}"
    if wrong := re.search(r'key "([^"]+)":.*?Literal\[(.*?)\]\. Got value: (\S+)', message, re.S):
        allowed = [word.strip(" '\"") for word in wrong[2].split(",")]
        return (
            f"--{wrong[1]} {wrong[3]}: must be one of {', '.join(allowed)}"
            f"{near_miss(wrong[3], allowed)}"
        )
    if key := re.search(r'key "([^"]+)"', message):
        return f"--{key[1]}: {condensed(message.partition(key[0])[2])}"
    return condensed(message)


def condensed(message: str) -> str:
    """A library's message of many lines as one: its first sentence and the errors it lists."""
    lines = [line.strip(" -:\t") for line in message.splitlines() if line.strip(" -:\t")]
    told = [line for line in lines if not _SCAFFOLD.match(line)]
    text = "; ".join(dict.fromkeys(told or lines))
    return text if len(text) <= 400 else f"{text[:397]}..."


# What jsonargparse says around the reason: the types it tried, and the value, at full length.
_SCAFFOLD = re.compile(
    r"(Does not validate against|Subtypes|Errors$|Given value|Subclass types expect|a class path"
    r"|a dict |Problem with given class_path|Expected a <class 'NoneType'>|Not a valid subclass)"
)


SHOWN_AS: dict[str, str] = {}
"""Folders that are copies of an address, and the address, which is shown in their place."""


def lasting(path: str | os.PathLike[str]) -> str:
    """A path as it may be written into a result: of a copy the address."""
    text = os.fspath(path)
    for folder, address in SHOWN_AS.items():
        text = text.replace(folder, address)
    return text


def shown(text: str, lines: bool = False) -> str:
    """Text of strangers (names of files, classes and clips) as it may reach a terminal.

    Args:
        text: with anything in it; what a terminal would not print as it stands is escaped.
        lines: line breaks and tabs are the program's own and stay.
    """
    return _NOT_SHOWN.sub(
        lambda found: (
            found[0] if lines and found[0] in "\n\t" else found[0].encode("unicode_escape").decode()
        ),
        lasting(text),
    )
