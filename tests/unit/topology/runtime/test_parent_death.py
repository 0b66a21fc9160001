"""A program that is gone when the process that started it is, even when that was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from topology.runtime import parent_death

SCRIPT = parent_death.__file__
GUARD = [sys.executable, "-I", "-S", SCRIPT]
# Starts a guarded program that would live for long, says its number, and is killed.
STARTER = f"""
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-S", {SCRIPT!r}, str(os.getpid()), "sh", "-c", "echo up; exec sleep 600"],
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux' own")


def alive(pid: int) -> bool:
    """Whether a process is there that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_program_gets_its_arguments_as_they_are_and_its_exit_code_comes_through() -> None:
    command = [*GUARD, str(os.getpid()), "sh", "-c", 'printf "%s|" "$0" "$@"; exit 7', "a b", "", "--c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "a b||--c|")


@linux
def test_a_program_whose_parent_died_before_it_began_does_not_begin() -> None:
    done = subprocess.run([*GUARD, "1", "echo", "began"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@linux
def test_a_program_dies_with_a_parent_that_is_killed() -> None:
    starter = subprocess.run([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True, check=False)
    assert starter.returncode == -signal.SIGKILL
    pid, end = int(starter.stdout), time.monotonic() + 10
    while alive(pid):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("it outlived its parent")
