"""Which split columns of its dataset a command is about."""

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import UsageError, near_miss
from actionrnn.training.data_source import expand_path
from actionrnn.training.settings import Settings


def split_columns(settings: Settings) -> list[str]:
    """Every split column of the dataset of the settings."""
    return Manifest.load(expand_path(settings.data.root)).splits


def chosen_columns(splits: str | None, settings: Settings) -> list[str]:
    """The split columns that `--splits` names (`all`, or a comma list), else `--data.split`.

    Raises:
        UsageError: if the dataset has no such column.
    """
    known = split_columns(settings)
    if splits == "all":
        return known
    wanted = (splits or settings.data.split).split(",")
    for column in wanted:
        if column not in known:
            raise UsageError(f"no split column {column!r}{near_miss(column, known)}")
    return wanted
