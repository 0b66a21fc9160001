"""The demo's child processes: the command line itself, with a log file each; gone when the demo is gone."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from schemas.errors import ModpulseError
from topology.runtime import parent_death

_PARENT_DEATH: Final = Path(parent_death.__file__)
_COMMAND: Final = (sys.executable, "-c", "from topology.cli import main; main()")
_TAIL_LINES = 15


class DemoFailed(ModpulseError):
    """A part of the demo ended or did not do its work in time; the message says which and where its log is."""


class Child:
    """One `modpulse` command in a process of its own. Standard output and standard error go to files.

    A signal from the terminal is the demo's to handle, so the child gets a session of its own.
    """

    def __init__(self, name: str, arguments: Sequence[str], directory: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log_file = directory / f"{name}.log"
        self.out_file = directory / f"{name}.out"
        command = [*_COMMAND, *arguments]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", str(_PARENT_DEATH), str(os.getpid()), *command]
        with self.log_file.open("wb") as log, self.out_file.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=dict(environ), start_new_session=True
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def expect_running(self) -> None:
        """Raise DemoFailed if it has ended."""
        if not self.running:
            raise DemoFailed(self.story(f"ended with exit code {self._process.returncode}"))

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.running:
            self._process.terminate()

    async def ended(self, deadline_s: float, also: int = 0) -> None:
        """Return once it has ended with exit code 0, or another one that is as good.

        Raises:
            DemoFailed: another exit code, or it still runs after the deadline.
        """
        try:
            await asyncio.to_thread(self._process.wait, deadline_s)
        except subprocess.TimeoutExpired as error:
            raise DemoFailed(self.story(f"did not end within {deadline_s:g} s")) from error
        if self._process.returncode not in (0, also):
            raise DemoFailed(self.story(f"ended with exit code {self._process.returncode}"))

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.running:
            self._process.kill()
        self._process.wait()

    def story(self, what: str) -> str:
        """What happened to it, with the end of its log."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"the {self.name} {what}; the end of its log {self.log_file}:", *lines])
