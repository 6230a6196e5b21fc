"""What is shown of a run, as records: one of them feeds the terminal, the plot and the page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal

from actionrnn.evaluation.intervals import Interval

# `a` is the plain colour, `bad` warns, `none` is grey.
Tone = Literal["a", "bad", "none"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Bar:
    """A value from zero, with its interval."""

    value: float | None
    interval: Interval | None = None
    tone: Tone = "a"


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, what it sorts by (None: as text); or a bar instead of text."""

    text: str
    sort: float | None = None
    bar: Bar | None = None
    picture: str = ""


@dataclass(frozen=True)
class TableView:
    """A table; a column of bars is drawn where drawing is possible, and left out elsewhere.

    Attributes:
        title, columns, rows, note: what it shows.
        mark, mark_name: a value that the bars are to be seen against, such as chance.
        low, high: what the bars span.
        most: rows on a terminal and in a plot; the page has all.
        filtered: what to filter on the page; empty is nothing.
        picks: columns to choose one value of, on the page.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    note: str = ""
    mark: float | None = None
    mark_name: str = ""
    low: float = 0.0
    high: float = 1.0
    most: int = 30
    filtered: str = ""
    picks: tuple[str, ...] = ()

    @property
    def bars(self) -> list[tuple[str, Bar]]:
        """The bars, each with the text of its row's first cells up to it."""
        found = []
        for row in self.rows:
            place = next((n for n, cell in enumerate(row) if cell.bar), None)
            if place is not None:
                bar = row[place].bar
                assert bar is not None
                name = [cell.text for cell in row[:place] if cell.sort is None and cell.text]
                found.append((": ".join(name), bar))
        return found


@dataclass(frozen=True)
class Chart:
    """Lines, or dots whose area is a share of the clips, over two axes.

    Attributes:
        title, note: what it shows.
        x_label, y_label: of the axes; `x_range`, `y_range`: what they span.
        lines: points by name.
        dots: x, y, share.
        diagonal: dotted, from corner to corner.
        mark_x: a dotted vertical line.
        log_y: a logarithmic axis; values that are not positive are left out.
    """

    title: str
    x_label: str
    y_label: str
    x_range: Point
    y_range: Point
    lines: dict[str, list[Point]] = field(default_factory=dict)
    dots: Sequence[tuple[float, float, float]] = ()
    diagonal: bool = False
    mark_x: float | None = None
    log_y: bool = False
    note: str = ""


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    name: str
    value: str
    bar: Bar
    below: str


@dataclass(frozen=True)
class Matrix:
    """Counts by true class (rows) and predicted class, of the classes shown.

    A row that has one count more than there are names ends with the clips taken for none of them.
    """

    title: str
    names: list[str]
    counts: list[list[int]]
    totals: list[int]
    note: str = ""


@dataclass(frozen=True)
class Text:
    """Words to be copied: commands, settings."""

    title: str
    text: str


Block = TableView | Chart | Matrix | Text


@dataclass(frozen=True)
class Screen:
    """One answer about a run.

    Attributes:
        key, title: of the section.
        verdict: the answer in words.
        alarm: what must not be overlooked.
        tiles, facts, blocks: what it rests on.
        hint, command: what is not there, and the command that puts it there.
    """

    key: str
    title: str
    verdict: str = ""
    alarm: str = ""
    tiles: list[Tile] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    blocks: Sequence[Block] = ()
    hint: str = ""
    command: str = ""

    @property
    def tables(self) -> list[TableView]:
        """The tables among the blocks."""
        return [block for block in self.blocks if isinstance(block, TableView)]


def row(*values: str | float | Bar | Cell | None) -> list[Cell]:
    """A row of a table: texts, whole numbers, figures of three digits (None is a dash), bars."""
    return [_cell(value) for value in values]


def _cell(value: str | float | Bar | Cell | None) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, Bar):
        return Cell("", value.value, value)
    if isinstance(value, str):
        return Cell(value)
    return number(value, 0 if isinstance(value, Integral) else 3)


def number(value: float | None, digits: int = 3, missing: str = "") -> Cell:
    """A number; or a dash and what is missing."""
    if value is None:
        return Cell(f"- ({missing})" if missing else "-", float("-inf"))
    return Cell(f"{value:.{digits}f}", value)


def percent(value: float) -> Cell:
    """A share as `73%`."""
    return Cell(f"{value:.0%}", value)


def signed(value: float) -> Cell:
    """A difference, with its sign."""
    return Cell(f"{value:+.3f}", value)


def shown_interval(
    bounds: Sequence[float] | None, missing: str = "", with_sign: bool = False
) -> str:
    """`0.712 to 0.804`, or a dash and what is missing."""
    if bounds is None:
        return f"- ({missing})" if missing else "-"
    return " to ".join(f"{bound:+.3f}" if with_sign else f"{bound:.3f}" for bound in bounds)
