"""docs/rooms.svg: the rooms of the three packages, floor by floor, from the contracts, the signs and the imports.

`python -m topology.docs.rooms_picture` draws it; tests/unit/project/test_rooms.py fails where it is out of date.
"""

import ast
import textwrap
import tomllib
from html import escape
from pathlib import Path

from topology.docs.imports import by_room, files_of, imports_of

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "rooms.svg"
PACKAGES = ("topology", "pipeline", "schemas")

_WIDTH, _MARGIN, _GAP = 1120, 24, 10
_TITLE_Y, _TEXT_Y, _LINE, _PAD = 20, 36, 14, 10
# About so many pixels a letter takes at 11.5 px.
_LETTER = 6.5
_STYLE = """
    text{font-family:Inter,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif}
    .p{font-size:17px;font-weight:700;fill:#0f172a}
    .h{font-size:13px;font-weight:700;fill:#0f172a}
    .n{font-size:11.5px;fill:#334155}
    .k{font-size:11px;fill:#64748b}
    .box{fill:#fff;stroke:#94a3b8;stroke-width:1.2}
"""


def floors(package: str) -> list[list[str]]:
    """The rooms of a package from the roof down, as pyproject.toml has them; without those yet to be built."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == [package])
    floors = [[room.strip() for room in layer.split("|") if "(" not in room] for layer in layers]
    return [floor for floor in floors if floor]


def purpose(package: str, room: str) -> str:
    """The first sentence of a room's sign."""
    files = files_of(ROOT, package)
    doc = ast.get_docstring(ast.parse(files[f"{package}.{room}"].read_text("utf-8"))) or ""
    return doc.split("\n\n")[0].replace("\n", " ").partition(". ")[0].removesuffix(".").replace("`", "")


def picture() -> str:
    """The whole picture."""
    parts: list[str] = []
    y = _MARGIN
    for package in PACKAGES:
        drawn, y = _package(package, y)
        parts += drawn
    y += _MARGIN - _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" aria-labelledby="t d">\n'
        '  <title id="t">The rooms of modpulse</title>\n'
        '  <desc id="d">Three packages, one above the other; in each the rooms by floor. '
        "A room may import rooms of lower floors only; what it does import is named in it.</desc>\n"
        f"  <style>{_STYLE}  </style>\n"
        f'  <rect width="{_WIDTH}" height="{y}" rx="14" fill="#f8fafc"/>\n'
    )
    return head + "".join(f"  {part}\n" for part in parts) + "</svg>\n"


def _package(package: str, y: int) -> tuple[list[str], int]:
    known = by_room(imports_of(ROOT, package))
    files = files_of(ROOT, package)
    parts = [f'<text x="{_MARGIN}" y="{y + 16}" class="p">{package}/</text>']
    y += 28
    for floor in floors(package):
        width = (_WIDTH - 2 * _MARGIN - _GAP * (len(floor) - 1)) / len(floor)
        texts = [_lines(package, room, known.get(room, set()), width) for room in floor]
        height = _TEXT_Y + _LINE * max(len(said) + len(knows) for said, knows in texts) - _LINE + _PAD
        for at, (room, (said, knows)) in enumerate(zip(floor, texts, strict=True)):
            x = _MARGIN + at * (width + _GAP)
            count = sum(name.startswith(f"{package}.{room}.") for name in files)
            title = f"{room}/  ({count} files)" if count else f"{room}.py"
            parts.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="8" class="box"/>')
            parts.append(f'<text x="{x + _PAD:.0f}" y="{y + _TITLE_Y}" class="h">{escape(title)}</text>')
            for row, text in enumerate([*said, *knows]):
                kind = "n" if row < len(said) else "k"
                line_y = y + _TEXT_Y + row * _LINE
                parts.append(f'<text x="{x + _PAD:.0f}" y="{line_y}" class="{kind}">{escape(text)}</text>')
        y += height + _GAP
    return parts, y + _GAP


def _lines(package: str, room: str, known: set[str], width: float) -> tuple[list[str], list[str]]:
    letters = int((width - 2 * _PAD) / _LETTER)
    knows = f"knows {', '.join(sorted(known))}" if known else ""
    return textwrap.wrap(purpose(package, room), letters), textwrap.wrap(knows, letters)


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
