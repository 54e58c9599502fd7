"""A plain chart of ratios: a bar a way, and a line where the way that all are compared with ends."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from benchmarks.rounds import Record

WIDTH, LEFT, BAR, MOST = 900, 330, 16, 6.0


def svg(records: Iterable[Record]) -> str:
    """The records that have a ratio, as an SVG image."""
    lines: list[str] = []
    y, group = 24, ""
    scale = (WIDTH - LEFT - 60) / MOST
    for record in records:
        if record.ratio is None:
            continue
        if record.group != group:
            group, y = record.group, y + 14
            lines.append(f'<text x="8" y="{y + 12}" font-weight="bold">{escape(group)}</text>')
            y += BAR + 4
        width = min(record.ratio, MOST) * scale
        colour = "#c0562f" if record.way.startswith("warmer") else "#9aa5b1"
        lines.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(record.way)}</text>')
        lines.append(f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="{BAR}" fill="{colour}"/>')
        told = f"{record.ratio:g}" + ("" if record.ratio <= MOST else " …")
        lines.append(f'<text x="{LEFT + width + 6:.0f}" y="{y + 12}">{told}</text>')
        y += BAR + 3
    one = LEFT + scale
    lines.append(
        f'<line x1="{one:.0f}" y1="20" x2="{one:.0f}" y2="{y}" stroke="#444" stroke-dasharray="3 3"/>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 20}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<text x="8" y="14">time, as a ratio to the first of each group (less is better)</text>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )
