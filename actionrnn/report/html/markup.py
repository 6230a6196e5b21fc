"""Pieces of HTML; colours are CSS classes, so that a page can be light or dark."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Cell(NamedTuple):
    """A table cell: its HTML, what it sorts by (None: as text), and a CSS class."""

    html: str
    sort: float | None = None
    kind: str = ""


def text(value: object) -> str:
    """Anything as safe HTML text."""
    return escape(str(value))


def number(value: float | None, digits: int = 3) -> Cell:
    """A number cell; a dash where there is none."""
    shown = "–" if value is None else f"{value:.{digits}f}"
    return Cell(shown, -1.0 if value is None else value, "num")


def section(key: str, title: str, *content: str, lead: str = "") -> str:
    """A section of the page; `lead` says what it shows (safe HTML)."""
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{key}"><h2>{text(title)}</h2>{said}{"".join(content)}</section>'


def columns(*content: str) -> str:
    """Side by side where there is room."""
    return f'<div class="columns">{"".join(content)}</div>'


def card(title: str, content: str, note: str = "") -> str:
    """A titled box."""
    below = f'<p class="note">{note}</p>' if note else ""
    return f'<div class="card"><h3>{text(title)}</h3>{content}{below}</div>'


def sentence(words: str) -> str:
    """A verdict as a sentence of safe HTML; what stands in backticks becomes code."""
    parts = text(words[:1].upper() + words[1:]).split("`")
    marked = [f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)]
    return "".join(marked).removesuffix(".") + "."


def hint(what: str, command: str) -> str:
    """What is not on the page, and the command that puts it there."""
    return f'<p class="hint">{text(what)} <code>{text(command)}</code></p>'


def table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], filter_label: str = "", tall: bool = False
) -> str:
    """A table whose head sorts it; with a `filter_label`, a field above it filters it."""
    search = (
        f'<input type="search" class="filter" placeholder="{text(filter_label)}" '
        f'aria-label="{text(filter_label)}">'
        if filter_label
        else ""
    )
    names = "".join(
        f'<th scope="col"><button type="button">{text(name)}</button></th>' for name in head
    )
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    kind = "scroll tall" if tall else "scroll"
    return (
        f'<div class="sortable">{search}<div class="{kind}"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></div>"
    )


def _cell(cell: Cell) -> str:
    kind = f' class="{cell.kind}"' if cell.kind else ""
    sort = f' data-sort="{cell.sort:.6g}"' if cell.sort is not None else ""
    return f"<td{kind}{sort}>{cell.html}</td>"


def bar(
    value: float | None,
    bounds: Sequence[float] | None = None,
    kind: str = "a",
    mark: float | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> str:
    """A bar from zero to a value, with an interval as a thin line and a mark as a dotted one."""

    def x(at: float) -> float:
        return 100 * (min(max(at, low), high) - low) / (high - low)

    parts = []
    if value is not None:
        left, right = sorted((x(0.0), x(value)))
        width = right - left
        parts.append(f'<rect class="{kind}" x="{left:.2f}" y="2" width="{width:.2f}" height="8"/>')
    if bounds is not None:
        a, b = x(bounds[0]), x(bounds[1])
        parts.append(f'<path class="whisker" d="M{a:.2f} 6H{b:.2f}M{a:.2f} 3V9M{b:.2f} 3V9"/>')
    if mark is not None:
        parts.append(f'<path class="mark" d="M{x(mark):.2f} 0V12"/>')
    shown = "" if bounds is None else f" ({bounds[0]:.3f} to {bounds[1]:.3f})"
    title = "no value" if value is None else f"{value:.3f}{shown}"
    return (
        f'<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" '
        f'aria-label="{title}"><title>{title}</title>{"".join(parts)}</svg>'
    )
