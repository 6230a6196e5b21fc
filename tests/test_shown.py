"""What strangers name their files never commands a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrnn.cli import main
from actionrnn.errors import shown
from actionrnn.progress import tell
from actionrnn.report.terminal import print_ranking


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not [c for c in shown(text) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    left = set(shown(text, lines=True)) - {"\n", "\t"}
    assert not [c for c in left if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]


def test_letters_of_every_script_stay() -> None:
    for name in ("Übung 1/日本語.mp4", "ходьба", "مشي", "🏃 run.avi", "a\\b"):
        assert shown(name) == name


def test_what_is_escaped_can_be_told() -> None:
    assert shown("a\x1b[2Jb\n\x07\u202ec\udce9") == "a\\x1b[2Jb\\n\\x07\\u202ec\\udce9"
    assert shown("a\n\tb\rc", lines=True) == "a\n\tb\\rc"


def test_a_ranking_is_shown_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_ranking("\x1b[2Jclip.mp4", ["ju\x1b[31mmp", "run"], [0.9, 0.1], "")
    print_ranking("\x1b[2Jclip.mp4", ["jump", "run"], [0.9, 0.1], "bad \x1b[2J")
    assert "\x1b" not in capsys.readouterr().out


def test_messages_and_errors_are_shown_so(capsys: pytest.CaptureFixture[str]) -> None:
    tell("one\x1b[31m\ntwo")
    assert capsys.readouterr().err == "one\\x1b[31m\ntwo\n"
    assert main(["verify\x1b[2J"]) == 2
    assert main(["prepare", "folder", "--source", "no\x1b[2Jthing"]) == 1
    assert "\x1b" not in capsys.readouterr().err
