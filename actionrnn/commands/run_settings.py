"""From a command line to the settings of a run, its checkpoint's among them, and its splits."""

from dataclasses import fields

from actionrnn.commands.checkpoint_settings import checkpoint_settings
from actionrnn.commands.config import compose, named, names_data, option_value
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import UsageError, near_miss
from actionrnn.models.config import HeadConfig
from actionrnn.training.data_source import expand_path
from actionrnn.training.settings import Settings, parsed


def settings_of(verb: str, arguments: list[str]) -> Settings:
    """The settings of a command line: its checkpoint's, then its files, then its single settings.

    Raises:
        UsageError: for a setting that does not exist or cannot have its value.
        ActionRNNError: for a file that cannot be read.
    """
    ckpt_path = option_value("--ckpt_path", arguments)
    base = checkpoint_settings(verb, ckpt_path, named(arguments)) if ckpt_path else {}
    config, words = compose(arguments, base)
    settings = parsed(config, words)
    refuse_unused(settings, words)
    return settings


def refuse_unused(settings: Settings, words: list[str]) -> None:
    """Refuse a setting, typed as a word, that the chosen head ignores; in files it may stand.

    Raises:
        UsageError: naming both.
    """
    head = head_of(settings)
    for name in head.unused:
        if (value := option_value(f"--model.{name}", words)) is not None:
            raise UsageError(
                f"--model.{name} {value}: a {head.head} head ignores it; leave it out, or take "
                f"another --model.head"
            )


def head_of(settings: Settings) -> HeadConfig:
    """The head that the settings of the model describe."""
    names = [each.name for each in fields(HeadConfig)]
    return HeadConfig(**{name: settings.model[name] for name in names if name in settings.model})


def settings_with_data(arguments: list[str]) -> Settings:
    """The settings of a command line that must name a dataset.

    Raises:
        UsageError: if it names none, and see `settings_of`.
    """
    if not names_data(arguments):
        raise UsageError("which dataset? Give --config FILE, --data FILE or --data.root DIR")
    return settings_of("fit", arguments)


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
