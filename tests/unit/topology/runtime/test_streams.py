"""Trouble with standard output is told as what it is, with the exit code that belongs to it."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

MAIN = "from topology.cli import main; main()"


def run(*arguments: str, shell: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """The command with its output redirected by a shell; the exit code is the command's."""
    command = " ".join([f"'{sys.executable}'", "-c", f"'{MAIN}'", *arguments])
    return subprocess.run(
        ["bash", "-c", f"{command} {shell}; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        text=True,
        check=False,
    )


COMMANDS = [("config", "show"), ("schema", "show"), ("config", "check", "--json")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_is_an_error_of_writing(command: tuple[str, ...]) -> None:
    done = run(*command, shell="> /dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "modpulse: cannot write standard output: No space left on device; free some space, or send it elsewhere\n"
    )


def test_a_reader_that_went_away_is_no_error() -> None:
    done = run("schema", "show", shell="| head -c 1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_character_that_the_terminal_cannot_show_is_escaped() -> None:
    done = run("rules", "check", "no-such-\u2713.toml", shell="", encoding="ascii")
    assert done.returncode == 2
    assert "no-such-\\u2713.toml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["2> /dev/full", "2>&-"])
def test_what_standard_error_does_not_take_changes_no_exit_code(shell: str) -> None:
    assert run("rules", "check", "no-such.toml", shell=shell).returncode == 2
