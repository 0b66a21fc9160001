"""docs/cli.md: its exit codes and the options of every command are made from the code; the text about the commands is written.

`python -m topology.docs.commands_page` writes what lies between the marks; tests/unit/topology/docs/test_commands_page.py fails
where it is out of date.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from topology.cli import app
from topology.runtime.exit_codes import MEANINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_BEGIN, _END = (
    "<!-- Made by `python -m topology.docs.commands_page` from here; do not edit. -->\n",
    "<!-- To here. -->\n",
)


def page() -> str:
    """The page as it should be: what stands there, with the made part made anew."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + "\n" + made() + "\n" + _END + after


def made() -> str:
    """The exit codes, and a table of options for each command."""
    lines = ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    lines += ["", "## Every option", ""]
    for name, command in commands(typer.main.get_command(app), "modpulse"):
        lines += [f"### `{name}`", "", _first_paragraph(command.help or ""), ""]
        rows = [_row(parameter) for parameter in command.params if "--help" not in parameter.opts]
        if rows:
            lines += ["| | default | |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its whole name."""
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        yield name, command
    for child, below in children.items():
        yield from commands(below, f"{name} {child}")


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        shown = parameter.opts[0] + ("" if parameter.is_flag else f" {_kind(parameter)}")
        text = parameter.help or ""
    else:
        shown = _kind(parameter)
        text = getattr(parameter, "help", None) or ""
    default = parameter.default
    given = default is None or default is False or callable(default) or not isinstance(default, str | int | float)
    return f"| `{shown}` | {'' if given else f'`{default}`'} | {_cell(text)} |"


def _kind(parameter: Any) -> str:
    # The command line writes a choice with a bar, which would end a cell.
    return str(parameter.metavar or (parameter.name or "").upper()).replace("|", "\\|")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _first_paragraph(text: str) -> str:
    return _cell(text.strip().split("\n\n")[0])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
