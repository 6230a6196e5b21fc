"""One record feeds terminal, plot and page: what it says, and that a dash says what is missing."""

import pytest

from actionrnn.evaluation.paired import compare
from actionrnn.evaluation.summary import summarise
from actionrnn.report.run_screens import comparison_screen, summary_screen
from actionrnn.report.terminal import print_screen
from tests.conftest import MakePredictions

Capture = pytest.CaptureFixture[str]


def test_a_summary_says_what_was_scored(make_predictions: MakePredictions, capsys: Capture) -> None:
    print_screen(summary_screen(summarise(make_predictions(leaked=True, num_views=3))))
    out = capsys.readouterr().out
    assert "120 clips, 3 views each, 12 groups" in out
    assert "12 groups (recordings)" in out
    assert "view accuracy" in out
    assert "LEAKED" in out
    assert "PART" not in out


def test_a_part_says_that_it_is_one(make_predictions: MakePredictions, capsys: Capture) -> None:
    scored = make_predictions()
    scored.about["part"] = {"scored": 120, "clips": 900}
    print_screen(summary_screen(summarise(scored)))
    out = " ".join(capsys.readouterr().out.split())
    assert "PART: 120 of 900 clips were scored; these are no figures of the whole" in out


def test_class_names_are_text_and_not_markup(
    make_predictions: MakePredictions, capsys: Capture
) -> None:
    scored = make_predictions()
    scored.class_names[0] = "Push [x] [/b] :cat:"
    scored.table.loc[scored.table["label"] == "class_0", "label"] = "Push [x] [/b] :cat:"
    print_screen(summary_screen(summarise(scored)))
    assert "Push [x] [/b] :cat:" in capsys.readouterr().out


def test_many_classes_are_shown_worst_first(
    make_predictions: MakePredictions, capsys: Capture
) -> None:
    summary = summarise(make_predictions(num_clips=200, num_classes=60, skill=2.0))
    print_screen(summary_screen(summary))
    out = " ".join(capsys.readouterr().out.split())
    assert "worst first (the first 30 of" in out


@pytest.mark.parametrize("num_groups", [1, 2, 4])
def test_every_dash_says_what_is_missing(
    make_predictions: MakePredictions, capsys: Capture, num_groups: int
) -> None:
    weak, strong = (make_predictions(num_groups=num_groups, skill=skill) for skill in (1.0, 100.0))
    print_screen(summary_screen(summarise(weak)))
    print_screen(summary_screen(summarise(strong)))
    print_screen(comparison_screen(compare([weak], [strong], ("a", "b"))))
    for line in capsys.readouterr().out.splitlines():
        for text in line.split("│"):
            assert text.split()[:1] != ["-"] or "(" in text, line


def test_a_comparison_says_who_is_better_or_why_that_cannot_be_told(
    make_predictions: MakePredictions, capsys: Capture
) -> None:
    for num_groups, expected in (
        (12, "B is better, by more than noise, in clip accuracy"),
        (4, "4 groups cannot tell a difference from noise (it takes 6): clip accuracy"),
        (1, "1 group alone cannot tell a difference from noise (it takes 6): clip accuracy"),
    ):
        runs = [make_predictions(num_groups=num_groups, skill=skill) for skill in (0.5, 3.0)]
        print_screen(comparison_screen(compare(runs[:1], runs[1:], ("a", "b"))))
        assert expected in " ".join(capsys.readouterr().out.split())


def test_without_a_terminal_80_columns_suffice(
    make_predictions: MakePredictions, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_screen(summary_screen(summarise(make_predictions(num_groups=2))))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("(2 groups only)" in line for line in lines) > 6  # none is cut or broken
