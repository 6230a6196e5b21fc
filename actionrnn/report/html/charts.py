"""Charts as inline SVG; colours are CSS classes, so that a page can be light or dark."""

from collections.abc import Sequence

from actionrnn.report.html.markup import text

Point = tuple[float, float]


def line_chart(
    title: str,
    lines: dict[str, list[Point]],
    x_label: str,
    y_range: Point,
    x_range: Point,
    mark_x: float | None = None,
) -> str:
    """Lines over common axes, with a dotted line at `mark_x`."""
    plane = _Plane(x_range, y_range)
    place = plane.place
    parts = [plane.axes(x_label)]
    if mark_x is not None:
        low, high = plane.y_range
        parts.append(f'<path class="mark" d="M{place(mark_x, low)}L{place(mark_x, high)}"/>')
    for kind, (name, points) in zip("abcdef", lines.items(), strict=False):
        path = "L".join(place(x, y) for x, y in points)
        parts.append(f'<path class="line {kind}" d="M{path}"/>' if points else "")
        for x, y in points:
            across, up = place(x, y).split()
            parts.append(
                f'<circle class="{kind}" cx="{across}" cy="{up}" r="2.5">'
                f"<title>{text(name)}: {x:.4g}, {y:.4g}</title></circle>"
            )
    return f"<figure>{_chart(title, parts)}{legend(list(lines))}</figure>"


def bubble_chart(title: str, bubbles: Sequence[tuple[float, float, float]], x_label: str) -> str:
    """Points (x, y, share) in the unit square, their area as the share; the diagonal dotted."""
    plane = _Plane((0, 1), (0, 1))
    parts = [
        plane.axes(x_label),
        f'<path class="mark" d="M{plane.place(0, 0)}L{plane.place(1, 1)}"/>',
    ]
    for x, y, share in bubbles:
        across, up = plane.place(x, y).split()
        parts.append(
            f'<circle class="a soft" cx="{across}" cy="{up}" r="{2 + 14 * share**0.5:.1f}">'
            f"<title>{x:.3f}, {y:.3f}: {share:.1%} of the clips</title></circle>"
        )
    return f"<figure>{_chart(title, parts)}</figure>"


def _chart(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 420 220" role="img" aria-label="{text(title)}">'
        f"{''.join(parts)}</svg>"
    )


class _Plane:
    """Where values lie in a chart."""

    left, top, width, height = 46, 8, 358, 190

    def __init__(self, x_range: Point, y_range: Point) -> None:
        self.x_range = x_range if x_range[1] > x_range[0] else (x_range[0], x_range[0] + 1)
        self.y_range = y_range if y_range[1] > y_range[0] else (y_range[0], y_range[0] + 1)

    def place(self, x: float, y: float) -> str:
        """`x y` in the picture; values above or below the range at its edge."""
        (x_low, x_high), (y_low, y_high) = self.x_range, self.y_range
        across = self.left + self.width * (x - x_low) / (x_high - x_low)
        share = (min(max(y, y_low), y_high) - y_low) / (y_high - y_low)
        return f"{across:.1f} {self.top + self.height * (1 - share):.1f}"

    def axes(self, x_label: str) -> str:
        """Grid lines and numbers."""
        (x_low, x_high), (y_low, y_high) = self.x_range, self.y_range
        parts = []
        for share in (0, 0.25, 0.5, 0.75, 1):
            y = y_low + share * (y_high - y_low)
            at = self.top + self.height * (1 - share) + 4
            parts.append(
                f'<path class="grid" d="M{self.place(x_low, y)}L{self.place(x_high, y)}"/>'
                f'<text x="{self.left - 6}" y="{at:.0f}" text-anchor="end">{y:.2g}</text>'
            )
        right, middle = self.left + self.width, self.left + self.width / 2
        return (
            f'{"".join(parts)}<text x="{self.left}" y="214">{x_low:.3g}</text>'
            f'<text x="{right}" y="214" text-anchor="end">{x_high:.3g}</text>'
            f'<text x="{middle}" y="214" text-anchor="middle">{text(x_label)}</text>'
        )


def legend(names: Sequence[str]) -> str:
    """Names with the colours of `line_chart`."""
    keys = [
        f'<span><i class="{kind}"></i>{text(name)}</span>'
        for kind, name in zip("abcdef", names, strict=False)
    ]
    return f'<figcaption class="legend">{"".join(keys)}</figcaption>'


def matrix(names: Sequence[str], shares: Sequence[Sequence[float]]) -> str:
    """A square of shares, rows true, columns predicted; errors in another colour."""
    side, margin = 20, 6 + 7 * min(24, max(len(name) for name in names))
    size = margin + side * len(names) + 2
    parts = []
    for row, name in enumerate(names):
        short = text(name if len(name) <= 24 else name[:23] + "…")
        middle = margin + side * row + side / 2
        parts.append(f'<text x="{margin - 5}" y="{middle + 4}" text-anchor="end">{short}</text>')
        parts.append(
            f'<text transform="translate({middle + 4} {margin - 5}) rotate(-90)">{short}</text>'
        )
        for column, share in enumerate(shares[row]):
            kind = "a" if row == column else "bad"
            x, y = margin + side * column, margin + side * row
            shade = f' class="{kind}" fill-opacity="{share**0.7:.2f}"' if share else ' class="none"'
            said = f"<title>{text(name)} taken for {text(names[column])}: {share:.0%}</title>"
            parts.append(
                f'<rect{shade} x="{x}" y="{y}" width="{side - 1}" height="{side - 1}" rx="2">'
                f"{said}</rect>"
            )
    return (
        f'<div class="scroll"><svg class="matrix" width="{size}" height="{size}" '
        f'viewBox="0 0 {size} {size}" role="img" aria-label="confusion matrix">'
        f"{''.join(parts)}</svg></div>"
    )
