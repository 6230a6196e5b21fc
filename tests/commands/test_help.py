"""Help that helps: short by default, whole on request, true because it is the parser's own."""

import re

import pytest

from actionrnn.cli import SYNONYMS, VERBS, main
from actionrnn.commands.help_page import EXAMPLES, GROUPS
from actionrnn.training.settings import run_parser


@pytest.mark.parametrize("verb", GROUPS)
def test_help_shows_what_people_use(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) < 110
    assert max(len(line) for line in printed.splitlines()) <= 100
    assert "``" not in printed
    assert ".. note" not in printed, "Lightning's texts are its own"
    for names in GROUPS[verb].values():
        for name in names:
            assert f"--{name}" in printed
            assert f"--{name}" in run_parser()._option_string_actions


def test_help_all_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help", "all"]) == 0
    printed = capsys.readouterr().out
    for option in ("--trainer.accumulate_grad_batches", "--model.chrono_max_frames"):
        assert option in printed


@pytest.mark.parametrize("example", [e for each in EXAMPLES.values() for e in each])
def test_examples_are_of_settings_that_there_are(example: str) -> None:
    words = example.partition("#")[0].split()
    assert words[1] in VERBS
    known = {*run_parser()._option_string_actions, "--output"}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("word", SYNONYMS)
def test_verbs_of_other_tools_are_understood(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    assert re.search(rf"no verb '{word}'; did you mean {SYNONYMS[word]}\?", capsys.readouterr().err)
    assert SYNONYMS[word] in VERBS


def test_bare_fit_says_what_to_do_and_downloads_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit"]) == 2
    error = capsys.readouterr().err
    assert "fit what?" in error
    assert "actionrnn prepare folder" in error
