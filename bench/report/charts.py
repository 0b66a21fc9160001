"""Charts as SVG text: bars from zero, one panel per series, readable on a light and a dark page."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _PANEL, _TOP, _BOTTOM, _LEFT = 640, 180, 34, 34, 16
_COLOURS = ("#2f6fde", "#d9822b", "#3d9a5f")


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity, a value per label."""

    name: str
    values: Sequence[float]


def chart(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """One panel per series, all over the same labels.

    Raises:
        ValueError: a series has not one value per label.
    """
    if any(len(one.values) != len(labels) for one in series):
        raise ValueError("each series needs one value per label")
    height = _TOP + len(series) * (_PANEL + _BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        "<style>text{fill:#444}line{stroke:#999}@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>",
    ]
    for number, one in enumerate(series):
        parts += _panel(one, title, labels, _TOP + number * (_PANEL + _BOTTOM), _COLOURS[number % len(_COLOURS)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(one: Series, title: str, labels: Sequence[str], top: int, colour: str) -> list[str]:
    most = max(one.values, default=0.0) or 1.0
    step = (_WIDTH - 2 * _LEFT) / max(len(labels), 1)
    floor = top + _PANEL
    parts = [f'<text x="{_LEFT}" y="{top - 14}" font-weight="bold">{escape(one.name)}, by {escape(title)}</text>']
    for index, (label, value) in enumerate(zip(labels, one.values, strict=True)):
        high = value / most * (_PANEL - 20)
        middle = _LEFT + (index + 0.5) * step
        parts += [
            _bar(middle - step * 0.3, floor - high, step * 0.6, high, colour),
            f'<text x="{middle:.1f}" y="{floor - high - 4:.1f}" text-anchor="middle">{value:,.0f}</text>',
            f'<text x="{middle:.1f}" y="{floor + 15}" text-anchor="middle">{escape(label)}</text>',
        ]
    return [*parts, f'<line x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - _LEFT}" y2="{floor}"/>']


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
