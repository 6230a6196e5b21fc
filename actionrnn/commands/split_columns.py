"""Which split columns of its dataset a command is about."""

from actionrnn.commands.config import setting
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import UsageError, near_miss
from actionrnn.training.data import expand_path


def split_columns(arguments: list[str]) -> list[str]:
    """Every split column of the dataset of a command line.

    Raises:
        UsageError: if it names no dataset.
    """
    root = setting("data.root", arguments)
    if root is None:
        raise UsageError("which dataset? Give --config FILE, --data FILE or --data.root DIR")
    return Manifest.load(expand_path(root)).splits


def chosen_columns(splits: str | None, arguments: list[str]) -> list[str]:
    """The split columns that `--splits` names (`all`, or a comma list), else `--data.split`.

    Raises:
        UsageError: if the dataset has no such column.
    """
    known = split_columns(arguments)
    if splits == "all":
        return known
    wanted = str(splits or setting("data.split", arguments) or "split1").split(",")
    for column in wanted:
        if column not in known:
            raise UsageError(f"no split column {column!r}{near_miss(column, known)}")
    return wanted
