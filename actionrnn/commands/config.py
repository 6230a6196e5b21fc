"""From a command line with several config files to one complete config.

Three rules, so that nothing depends on the order of the words and nothing is left over:
files come first and single settings after them, wherever they stand; a later file's value wins;
`--data FILE` (likewise `--model`, `--features`, `--trainer`) replaces that whole group.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from actionrnn.commands.recipes import found_config
from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.files import safe_yaml

GROUPS = ("data", "features", "model", "trainer")
FILE_OPTIONS = {"-c": "config", **{f"--{name}": name for name in ("config", *GROUPS)}}


def split_arguments(arguments: list[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Separate `--config FILE`s, `--<group> FILE`s and all the rest.

    Raises:
        UsageError: if a file option has no file.
    """
    configs: list[str] = []
    groups: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in FILE_OPTIONS:
            rest.append("--data.allow_leak=true" if word == "--allow-leak" else word)
            continue
        value = value if equals else next(words, "--")
        if not equals and value.startswith("--"):
            raise UsageError(f"{option} needs a YAML file or a name that `actionrnn recipes` lists")
        if FILE_OPTIONS[option] == "config":
            configs.append(value)
        else:
            groups[FILE_OPTIONS[option]] = value
    return configs, groups, rest


def option_value(option: str, arguments: list[str]) -> str | None:
    """The value of one option among words that are not parsed yet; the last one counts."""
    value = None
    for word, following in pairwise([*arguments, None]):
        if word == option:
            value = following
        elif word is not None and word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value


def read_yaml(path: str) -> dict[str, Any]:
    """A YAML file as a dict.

    Raises:
        ActionRNNError: if it is missing (naming files like it), not YAML, or not a mapping.
    """
    path = found_config(path)
    try:
        content = safe_yaml(Path(path).read_text())
    except yaml.YAMLError as error:
        raise ActionRNNError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ActionRNNError(f"{path} must hold `key: value` lines, not a {type(content).__name__}")
    return content


def laid_on(under: dict[str, Any], path: str, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A config file on top of a config.

    A line `base: other.yaml` (relative to the file, like every path in it) lays the file on that
    one. A group given as a path, as in `data: ../data/ucf101.yaml`, replaces the whole group.

    Args:
        under: what it is laid on.
        path: the file.
        above: the files that name this one as their base.

    Raises:
        ActionRNNError: for a file that cannot be read, or that is its own base.
    """
    file = Path(path)
    if file.resolve() in above:
        raise ActionRNNError(f"config file {path} builds on itself: look at its `base:`")
    config = read_yaml(path)
    if base := config.pop("base", None):
        under = laid_on(under, str(file.parent / str(base)), (*above, file.resolve()))
    for group in GROUPS:
        if isinstance(config.get(group), str):
            under = {key: value for key, value in under.items() if key != group}
            config[group] = read_yaml(str(file.parent / config[group]))
    return merged(under, config)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def compose(
    arguments: list[str], base: dict[str, Any] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """One config from all files of a command line, and the single settings that go on top.

    Args:
        arguments: the words after the verb.
        base: what the files are laid on (a checkpoint's own settings).
    """
    configs, groups, rest = split_arguments(arguments)
    config = dict(base or {})
    for path in configs:
        config = laid_on(config, found_config(path, "experiment", "logger"))
    for group, path in groups.items():
        config[group] = read_yaml(found_config(path, group))
    return config, rest


def named(arguments: list[str]) -> dict[str, Any]:
    """What files and words of a command line name, of what a checkpoint may not alone."""
    config, rest = compose(arguments)
    for key in ("data.root", "data.features_dir", "features.backbone.name"):
        if value := option_value(f"--{key}", rest):
            word: Any = value
            for part in reversed(key.split(".")):
                word = {part: word}
            config = merged(config, word)
    return config


def names_data(arguments: list[str]) -> bool:
    """Whether a command line says where its dataset is, in words or in files."""
    config, rest = compose(arguments)
    data = config.get("data")
    return option_value("--data.root", rest) is not None or bool(data and data.get("root"))
