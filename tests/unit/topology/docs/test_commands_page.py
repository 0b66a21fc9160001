"""docs/cli.md says what the commands say of themselves."""

import re

import typer

from topology.cli import COMMANDS, app
from topology.docs.commands_page import PAGE, commands, page
from topology.runtime.exit_codes import MEANINGS


def test_the_page_of_commands_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m topology.docs.commands_page`"


def test_every_command_and_every_exit_code_is_there_once() -> None:
    text = page()
    named = re.findall(r"^### `modpulse ([\w ]+)`", text, re.MULTILINE)
    assert named == [name.removeprefix("modpulse ") for name, _ in commands(typer.main.get_command(app), "modpulse")]
    assert {name.split()[0] for name in named} == set(COMMANDS)
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(MEANINGS)


def test_what_is_written_by_hand_stays() -> None:
    text = PAGE.read_text("utf-8")
    assert page().startswith(text[: text.index("<!-- Made by")])
    assert "| `modpulse run` | The worker, until SIGTERM" in page()
