"""The command line as a whole: every command explains itself, and every error is one message and an exit code."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer.main

from schemas.errors import BrokerUnavailable, ConfigError, ModpulseError, TaskFenced
from tests.support.paths import ROOT
from tests.support.shell.command import Run
from topology import cli


def levels(command: object, *names: str) -> Iterator[tuple[str, ...]]:
    """The words of every command and group there is."""
    yield names
    for name, below in getattr(command, "commands", {}).items():
        yield from levels(below, *names, name)


@pytest.mark.parametrize("words", [*levels(typer.main.get_command(cli.app))], ids=" ".join)
def test_every_command_explains_itself(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(" ".join(("Usage: modpulse", *words)))


def test_every_file_of_the_room_is_a_command() -> None:
    files = {file.stem for file in (ROOT / "topology" / "commands").glob("*.py")} - {"__init__", "context"}
    assert files == set(cli.COMMANDS)


def test_help_imports_neither_the_broker_client_nor_the_settings() -> None:
    script = (
        "import sys, topology.cli; print(*({'aiokafka', 'pydantic', 'numpy', 'faust', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_wrong_setting_ends_with_2_and_one_line(run: Run) -> None:
    assert run("--set", "windows.grac=1s", "config", "show") == (
        2,
        "",
        "modpulse: windows.grac is no setting; did you mean windows.grace?\n",
    )
    assert run("--set", "windows.grace", "config", "show")[0] == 2
    assert run("--log-level", "loud", "config", "show")[0] == 2
    assert run("no-such-command")[0] == 2
    assert run("topics", "create", "--no-such-flag")[0] == 2


def test_no_message_carries_control_characters_to_the_terminal(run: Run) -> None:
    _, _, err = run("--set", "windows.grace=\x1b[2J\u202e", "config", "show")
    assert "\x1b" not in err
    assert "\u202e" not in err


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("a\nb\x1b"), 2), (BrokerUnavailable("a\nb\x1b"), 3), (TaskFenced("a\nb\x1b"), 1)]
)
def test_an_error_ends_with_its_code_and_its_lines_stay_lines(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: ModpulseError, code: int
) -> None:
    def app(prog_name: str) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    assert run() == (code, "", "modpulse: a\nb\\x1b\n")


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "Exit codes: 0 ok, 1 finding, 2 usage or configuration, 3 broker unreachable." in err
