"""Files are whole or not there, and what a killed process leaves is known by its name."""

from pathlib import Path

import pytest

from actionrnn.files import is_unfinished, publish_text, published, published_folder


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    publish_text(tmp_path / "a.txt", "old")

    def fail() -> None:
        with published(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            assert (tmp_path / "a.txt").read_text() == "old"
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("ending", ["", ".mp4"])
def test_unfinished_files_are_told_from_finished_ones(tmp_path: Path, ending: str) -> None:
    target = tmp_path / "deep" / "a.mp4"
    with published(target, ending) as temporary:
        assert is_unfinished(temporary.name)
        assert temporary.name.endswith(ending)
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert not any(
        is_unfinished(name) for name in (target.name, ".hidden", ".a.b-c", "x.1-0123abcd")
    )


def fill(target: Path, name: str, error: Exception | None = None) -> None:
    with published_folder(target) as folder:
        (folder / name).write_text("whole")
        if error is not None:
            raise error


def test_a_folder_is_there_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with pytest.raises(MemoryError):
        fill(target, "a", MemoryError())
    assert not list(target.parent.iterdir())
    fill(target, "a")
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    assert (target / "a").read_text() == "whole"
    with pytest.raises(OSError, match="not empty"):
        fill(target, "b")
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in target.parent.iterdir()] == ["model"]
