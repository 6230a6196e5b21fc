"""Records survive JSON, and a file of another version is named."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.intervals import Interval
from actionrnn.evaluation.records import load_record, save_record


@dataclass(frozen=True)
class Part:
    name: str
    interval: Interval | None


@dataclass(frozen=True)
class Whole:
    value: float
    parts: list[Part]
    by_name: dict[str, list[Part]]
    note: str | None


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    parts = [Part("a", Interval(0.1, 0.2)), Part("b", None)]
    whole = Whole(0.5, parts, {"x": parts, "y": []}, None)
    save_record(tmp_path / "whole.json", whole)
    again = load_record(Whole, tmp_path / "whole.json", "make")
    assert again == whole
    assert again.parts[0].interval is not None
    assert again.parts[0].interval.high == 0.2


def test_a_number_that_is_none_stays_one(tmp_path: Path) -> None:
    save_record(tmp_path / "whole.json", Whole(float("nan"), [], {}, ""))
    assert "NaN" not in (tmp_path / "whole.json").read_text()
    again = load_record(Whole, tmp_path / "whole.json", "make")
    assert again.value != again.value


@pytest.mark.parametrize("content", ["{", "{}", '{"value": 1, "parts": 3}', "[1]"])
def test_another_version_or_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "whole.json"
    file.write_text(content)
    with pytest.raises(ActionRNNError, match=r"whole.json is damaged.* make it again: do this"):
        load_record(Whole, file, "do this")
