"""Pictures of a summary as inline SVG: text and rectangles, in colours of the style sheet around them."""

from collections.abc import Mapping
from html import escape

WIDTH, ROW = 720, 28
_LEFT = 190
"""Width of the column of names, pixels."""


def bars(counts: Mapping[str, int], title: str, classes: Mapping[str, str] | None = None) -> str:
    """A bar for each count, with its name before and its number behind it. `classes`: name to CSS class."""
    most, height = max(counts.values(), default=0) or 1, ROW * len(counts)
    rows = []
    for place, (name, count) in enumerate(counts.items()):
        y = ROW * place
        width = max(round((WIDTH - _LEFT - 60) * count / most), 1 if count else 0)
        css = escape((classes or {}).get(name, "bar"))
        rows.append(
            f'<text x="{_LEFT - 10}" y="{y + 19}" class="name">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y + 5}" width="{width}" height="{ROW - 10}" rx="3" class="{css}"/>'
            f'<text x="{_LEFT + width + 8}" y="{y + 19}">{count}</text>'
        )
    return _svg(title, WIDTH, height, rows)


def squares(outcomes: Mapping[str, Mapping[str, int]], title: str) -> str:
    """A table of squares: outcomes of then downwards, of now to the right; the more runs, the deeper the colour."""
    names = sorted({*outcomes, *(name for row in outcomes.values() for name in row)})
    most = max((count for row in outcomes.values() for count in row.values()), default=0) or 1
    side, rows = 104, []
    for column, name in enumerate(names):
        rows.append(f'<text x="{_LEFT + column * side + side // 2}" y="18" class="top">{escape(name)}</text>')
    for line, then in enumerate(names):
        y = 30 + line * 44
        rows.append(f'<text x="{_LEFT - 10}" y="{y + 25}" class="name">{escape(then)}</text>')
        for column, now in enumerate(names):
            count = outcomes.get(then, {}).get(now, 0)
            css = "kept" if then == now else "moved"
            depth = 0.12 + 0.5 * count / most if count else 0.04
            x = _LEFT + column * side
            rows.append(
                f'<rect x="{x + 2}" y="{y}" width="{side - 4}" height="40" rx="4" class="{css}" '
                f'fill-opacity="{depth:.2f}"/><text x="{x + side // 2}" y="{y + 25}" class="top">{count}</text>'
            )
    return _svg(title, _LEFT + side * len(names), 36 + 44 * len(names), rows)


def _svg(title: str, width: int, height: int, rows: list[str]) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    return f"{head}<title>{escape(title)}</title>{''.join(rows)}</svg>"
