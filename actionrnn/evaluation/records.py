"""Records (dataclasses) to JSON and back: a diagnosis on disk is the diagnosis itself."""

import json
import math
import types
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from actionrnn.errors import ActionRNNError
from actionrnn.files import publish_json

Record = TypeVar("Record")


def to_plain(record: Any) -> dict[str, Any]:
    """A record as plain data; numbers that are not finite become null."""
    return {key: _finite(value) for key, value in asdict(record).items()}


def save_record(file: Path, record: Any) -> None:
    """Write a record as JSON, whole."""
    publish_json(file, to_plain(record))


def load_record(kind: type[Record], file: Path, command: str) -> Record:
    """Read what `save_record` wrote.

    Args:
        kind: the class of the record.
        file: where it is.
        command: makes it again.

    Raises:
        ActionRNNError: if the file is damaged, or of another version.
    """
    try:
        found: Record = _from_plain(kind, json.loads(file.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ActionRNNError(
            f"{file} is damaged, or of another version of actionrnn "
            f"({type(error).__name__}: {error}); make it again: {command}"
        ) from error
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _from_plain(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{each.name: _from_plain(hints[each.name], value[each.name])
                       for each in fields(kind)})  # fmt: skip
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (plain,) = (part for part in parts if part is not type(None))
        return None if value is None else _from_plain(plain, value)
    if origin is list:
        return [_from_plain(parts[0], each) for each in value]
    if origin is dict:
        return {key: _from_plain(parts[1], each) for key, each in value.items()}
    if isinstance(kind, type) and issubclass(kind, tuple):  # a NamedTuple
        return kind(*value)
    return math.nan if kind is float and value is None else value
