"""The two roots of every error a user can cause or meet.

The command line prints `str(error)` of these without a traceback, so a message says what is
wrong, where (file, line, key), what is allowed, and the next step.
"""

import difflib


class ActionRNNError(Exception):
    """Anything that went wrong and that the user can act on (exit code 1)."""


class DataRejected(ActionRNNError):
    """The data is readable but must not be used as asked: a leak, too many bad clips (exit 3)."""


class UsageError(ActionRNNError):
    """The words of a command line, or the keys of a config, are wrong (exit code 2)."""


def near_miss(word: str, known: list[str]) -> str:
    """`; did you mean ...?` when a known word is close, else the empty string."""
    close = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
