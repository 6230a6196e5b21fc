"""Where things lie in a chart: round numbers on the axes, nothing outside of the picture."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrnn.evaluation.intervals import Interval
from actionrnn.report.confusion import ELSEWHERE
from actionrnn.report.html.charts import draw_bar, draw_chart, draw_matrix, round_ticks
from actionrnn.report.screen import Bar, Chart, Matrix, TableView


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e4))
def test_ticks_are_few_round_numbers_inside_the_range(low: float, span: float) -> None:
    high = low + span
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    step = ticks[1] - ticks[0]
    power = 10 ** math.floor(math.log10(step) + 1e-6)
    assert round(step / power, 3) in (1, 2, 5)
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in ticks)


def test_epochs_are_whole() -> None:
    assert round_ticks(1, 3, whole=True) == [1, 2, 3]
    chart = Chart("loss", "epoch", "loss", (1, 3), (0, 1), {"a": [(1, 0.2), (3, 0.4)]})
    assert [tick.text for tick in draw_chart(chart).x_ticks] == ["1", "2", "3"]


@pytest.mark.parametrize("log_y", [False, True])
def test_points_lie_in_the_picture_and_upwards(log_y: bool) -> None:
    points = [(0.0, 0.0), (1.0, 1e-3), (2.0, 0.1), (3.0, 1.0), (4.0, 9.0)]
    drawn = draw_chart(Chart("t", "x", "y", (0, 4), (1e-3, 1.0), {"a": points}, log_y=log_y))
    heights = [y for _, y, _ in drawn.lines[0].points]
    assert len(heights) == (4 if log_y else 5)  # a logarithm has no zero
    assert heights == sorted(heights, reverse=True)
    assert all(10 <= y <= 190 for y in heights)
    if log_y:
        assert [tick.text for tick in drawn.y_ticks] == ["0.001", "0.01", "0.1", "1"]
        assert heights[1] - heights[2] == pytest.approx((heights[0] - heights[1]) / 2, abs=0.2)


def test_a_bar_starts_at_zero_and_says_its_interval() -> None:
    table = TableView("t", ("a",), [], mark=0.5, low=-1.0)
    drawn = draw_bar(Bar(-0.5, Interval(-0.75, -0.25)), table)
    assert (drawn.left, drawn.width, drawn.mark) == (25.0, 25.0, 75.0)
    assert drawn.whisker.startswith("M12.5 6H37.5")
    assert drawn.title == "-0.500 (-0.750 to -0.250)"
    assert draw_bar(Bar(None)).title == "no value"


@pytest.mark.parametrize("num_classes", [2, 10, 30])
def test_every_count_of_a_matrix_is_written_out(num_classes: int) -> None:
    counts = [[7 if i == j else i * j % 3 for j in range(num_classes)] for i in range(num_classes)]
    names = [f"class {k}" for k in range(num_classes)]
    drawn = draw_matrix(Matrix("m", names, counts, [sum(row) for row in counts]))
    texts = [cell.text for cell in drawn.cells]
    assert texts == [str(count) if count else "" for row in counts for count in row]
    assert max(cell.x for cell in drawn.cells) + drawn.side <= drawn.width
    assert drawn.side >= 24  # two digits fit


def test_a_matrix_of_some_classes_ends_with_the_clips_taken_for_others() -> None:
    drawn = draw_matrix(Matrix("m", ["run", "walk"], [[3, 0, 1], [0, 2, 0]], [4, 2]))
    assert [name for name, _ in drawn.columns] == ["run", "walk", ELSEWHERE]
    assert [name for name, _ in drawn.rows] == ["run", "walk"]
    assert drawn.width == drawn.height + drawn.side
    elsewhere = drawn.cells[2]
    assert (elsewhere.kind, elsewhere.text) == ("bad", "1")
    assert elsewhere.title == "run taken for others, or unread: 1 of 4 (25%)"
