"""Writes every page and document that is made from code: `python -m topology.docs`, or `make docs`.

With `--check` it writes nothing, names what is out of date, and ends with 1: `make check` does that.
"""

import sys
from pathlib import Path

from schemas import export
from topology.docs import commands_page, metrics_page, rooms_picture, settings_page

ROOT = Path(__file__).resolve().parents[2]


def pages() -> dict[Path, str]:
    """Each generated file with the text it should have."""
    found = {
        settings_page.PAGE: settings_page.page(),
        metrics_page.PAGE: metrics_page.page(),
        commands_page.PAGE: commands_page.page(),
        rooms_picture.PICTURE: rooms_picture.picture(),
    }
    return found | {ROOT / "schemas" / "generated" / name: text for name, text in export.documents().items()}


def old(wanted: dict[Path, str]) -> list[Path]:
    """Which of the files are not what they should be, or not there."""
    return [file for file, text in wanted.items() if not file.is_file() or file.read_text("utf-8") != text]


def main(arguments: list[str]) -> int:
    """Write, or check; answers the exit code."""
    wanted = pages()
    stale = old(wanted)
    if "--check" in arguments:
        for file in stale:
            sys.stderr.write(f"{file.relative_to(ROOT)} is not what the code says: run `make docs`\n")
        return 1 if stale else 0
    for file in stale:
        file.write_text(wanted[file], "utf-8")
        sys.stdout.write(f"wrote {file.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
