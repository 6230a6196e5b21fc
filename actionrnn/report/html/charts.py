"""Where the parts of charts, bars and matrices lie, for the templates to draw as inline SVG."""

import math
from dataclasses import dataclass

from actionrnn.report.confusion import ELSEWHERE
from actionrnn.report.screen import Bar, Chart, Matrix, Point, TableView

LEFT, TOP, WIDTH, HEIGHT = 52, 10, 352, 180
COLORS = "abcdef"


@dataclass(frozen=True)
class Tick:
    """A number on an axis and where it stands."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line: its colour, its name, its path, and its points with what they say."""

    kind: str
    name: str
    path: str
    points: list[tuple[float, float, str]]


@dataclass(frozen=True)
class DrawnChart:
    """A chart in a picture of 420 by 220."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    dots: list[tuple[float, float, float, str]]
    diagonal: str
    mark: float | None


@dataclass(frozen=True)
class DrawnBar:
    """A bar in a picture of 100 by 12."""

    title: str
    tone: str
    left: float
    width: float
    whisker: str
    mark: float | None


def draw_chart(chart: Chart) -> DrawnChart:
    """Place everything; points above or below the range stand at its edge."""
    (x_low, x_high), (y_low, y_high) = _open(chart.x_range), _open(chart.y_range)

    def scale(y: float) -> float:
        return math.log10(y) if chart.log_y else y

    def across(x: float) -> float:
        return round(LEFT + WIDTH * (x - x_low) / (x_high - x_low), 1)

    def up(y: float) -> float:
        share = (scale(y) - scale(y_low)) / (scale(y_high) - scale(y_low))
        return round(TOP + HEIGHT * (1 - min(max(share, 0.0), 1.0)), 1)

    lines = []
    for number, (name, points) in enumerate(chart.lines.items()):
        kept = [(x, y) for x, y in points if not chart.log_y or y > 0]
        placed = [(across(x), up(y), f"{name}: {x:.4g}, {y:.4g}") for x, y in kept]
        path = "L".join(f"{x} {y}" for x, y, _ in placed)
        lines.append(Line(COLORS[number % len(COLORS)], name, f"M{path}" if path else "", placed))
    return DrawnChart(
        [Tick(across(x), f"{x:g}") for x in round_ticks(x_low, x_high, whole=x_high > 2)],
        [Tick(up(y), f"{y:g}") for y in _y_ticks(chart, y_low, y_high)],
        lines,
        [
            (across(x), up(y), round(2 + 14 * share**0.5, 1), f"{x:.3f}, {y:.3f}: {share:.1%}")
            for x, y, share in chart.dots
        ],
        f"M{across(x_low)} {up(y_low)}L{across(x_high)} {up(y_high)}" if chart.diagonal else "",
        None if chart.mark_x is None else across(chart.mark_x),
    )


def _y_ticks(chart: Chart, low: float, high: float) -> list[float]:
    if not chart.log_y:
        return round_ticks(low, high)
    first, last = round(math.log10(low)), round(math.log10(high))
    step = max(1, (last - first) // 5)
    return [10.0**power for power in range(first, last + 1, step)]


def round_ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """About so many round numbers (1, 2 or 5 times a power of ten) from low to high."""
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_bar(bar: Bar, table: TableView | None = None) -> DrawnBar:
    """Place a bar in the span of its table, or from 0 to 1."""
    low, high = (table.low, table.high) if table else (0.0, 1.0)

    def x(at: float) -> float:
        return round(100 * (min(max(at, low), high) - low) / (high - low), 2)

    left, right = sorted((x(0.0), x(bar.value or 0.0)))
    shown, whisker = "", ""
    if bar.interval:
        a, b = (x(bound) for bound in bar.interval)
        shown = f" ({bar.interval.low:.3f} to {bar.interval.high:.3f})"
        whisker = f"M{a} 6H{b}M{a} 3V9M{b} 3V9"
    title = "no value" if bar.value is None else f"{bar.value:.3f}{shown}"
    mark = x(table.mark) if table and table.mark is not None else None
    return DrawnBar(title, bar.tone, left, round(right - left, 2), whisker, mark)


@dataclass(frozen=True)
class MatrixCell:
    """One cell: where, how dark, its number, and what it says."""

    x: int
    y: int
    kind: str
    opacity: float
    text: str
    title: str


@dataclass(frozen=True)
class DrawnMatrix:
    """A confusion matrix: its size, the margin of its names, and its cells."""

    side: int
    margin: int
    width: int
    height: int
    rows: list[tuple[str, float]]
    columns: list[tuple[str, float]]
    cells: list[MatrixCell]


def draw_matrix(matrix: Matrix) -> DrawnMatrix:
    """Place the cells: large ones for few classes; every number that fits is written out."""
    names = [name if len(name) <= 24 else name[:23] + "…" for name in matrix.names]
    taken_for = [*matrix.names, ELSEWHERE]
    side = 44 if len(names) <= 8 else 30 if len(names) <= 16 else 24
    margin = 8 + 7 * max(len(name) for name in names)
    cells = []
    for row, counts in enumerate(matrix.counts):
        for column, count in enumerate(counts):
            share = count / max(matrix.totals[row], 1)
            cells.append(
                MatrixCell(
                    margin + side * column,
                    margin + side * row,
                    "none" if not count else "a" if row == column else "bad",
                    round(share**0.7, 2) if count else 1.0,
                    str(count) if count else "",
                    f"{matrix.names[row]} taken for {taken_for[column]}: {count} of "
                    f"{matrix.totals[row]} ({share:.0%})",
                )
            )
    places = [(name, margin + side * (n + 0.5)) for n, name in enumerate([*names, ELSEWHERE])]
    shown = len(matrix.counts[0])
    width, height = margin + side * shown + 2, margin + side * len(names) + 2
    return DrawnMatrix(side, margin, width, height, places[: len(names)], places[:shown], cells)


def _open(span: Point) -> Point:
    return span if span[1] > span[0] else (span[0], span[0] + 1)
