"""One worker of a supervisor: the place it has, the process that fills it, and what is known of both."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from topology.runtime.acceptance import without_acceptance
from topology.supervisor.address import VARIABLE, announced
from topology.supervisor.log_relay import LogRelay

log = structlog.get_logger("supervisor")

# What it said last should be out before anything is said of its end.
_LAST_WORDS_S = 2.0
_NOT_OURS = "this supervisor did not send it: the kernel ends a process so when memory is short (dmesg says so), or somebody did"


class Child:
    """A worker that is started again and again under one number.

    Attributes:
        number: the label `worker` of its metrics and log lines.
        process: the newest one; `code` is how the one before ended.
        starts: how many processes were started.
        quick_ends: ends in a row before the process was ever ready, or soon after its start.
        was_ready: whether the newest process was ready at any time.
        answered_at: when its probes answered last, monotonic; at first when it was started.
        stuck: what it said when it said that it is stuck.
        due: when it is started again, monotonic; None while it runs.
        asked_to_end: whether its process was sent SIGTERM from here.
    """

    def __init__(
        self, number: int, command: Sequence[str], directory: Path, environment: Mapping[str, str], log_to: BinaryIO
    ) -> None:
        """Nothing is started yet.

        Args:
            number: of the worker, from 0.
            command: the program with its arguments.
            directory: where it may leave the address of its probes.
            environment: of the process; the name of that file is added.
            log_to: where its standard error goes, line by line.
        """
        self.number = number
        self._command = command
        self._address_file = directory / f"worker-{number}.address"
        self._environment = {**environment, VARIABLE: str(self._address_file)}
        self._log_to = log_to
        self._relay: LogRelay | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.code: int | None = None
        self.starts = 0
        self.quick_ends = 0
        self.was_ready = False
        self.began = self.answered_at = time.monotonic()
        self.stuck: str | None = None
        self.due: float | None = None
        self.asked_to_end = False

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.returncode is None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(self.starts - 1, 0)

    @property
    def address(self) -> str | None:
        """Where its probes listen; None when it is not running or has not said so yet."""
        return announced(self._address_file) if self.running else None

    async def start(self) -> None:
        """Start a process.

        Raises:
            OSError: the system starts none.
        """
        self._address_file.unlink(missing_ok=True)
        # What an operator accepted for one start is not accepted for whatever is lost later.
        command = self._command if self.starts == 0 else without_acceptance(list(self._command))
        self._relay = relay = LogRelay(self.number, self._log_to)
        try:
            # A session of its own: Ctrl-C at a terminal is the supervisor's to handle, once and in order.
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.DEVNULL,
                stderr=relay.write_end,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            self.starts += 1
            self.was_ready, self.stuck, self.due = False, None, None
            self.began = self.answered_at = time.monotonic()
            relay.started()
        log.info("worker started", worker=self.number, pid=self.process.pid, restarts=self.restarts)

    async def ended(self) -> int:
        """Wait for its end; answers the exit code, or the signal as a negative number."""
        assert self.process is not None
        assert self._relay is not None
        self.code = await self.process.wait()
        await asyncio.to_thread(self._relay.ended, _LAST_WORDS_S)
        return self.code

    def ask_to_end(self) -> None:
        """SIGTERM, if it runs."""
        if self.running:
            self.asked_to_end = True
            self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal, if it runs."""
        if self.running and self.process is not None:
            self.process.send_signal(number)

    @property
    def ran_s(self) -> float:
        """How long the newest process has run, or ran."""
        return time.monotonic() - self.began


def end_in_words(code: int, *, killed_here: bool = False) -> dict[str, object]:
    """How a process ended, for the log: its exit code, or the signal by name.

    Args:
        code: the exit code; a signal is a negative number.
        killed_here: whether it was this supervisor that sent SIGKILL.
    """
    if code >= 0:
        return {"exit_code": code}
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = {"hint": _NOT_OURS} if -code == signal.SIGKILL and not killed_here else {}
    return {"signal": name, **hint}
