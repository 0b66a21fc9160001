"""Keeps N workers running: who is started again after its end, when all end, and with which exit code."""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from topology.runtime.fail_stop import SETTLED_S, backoff_s
from topology.supervisor.child import Child, end_in_words
from topology.supervisor.scrape import DEADLINE_S, Scraper
from topology.supervisor.server import SupervisorServer

log = structlog.get_logger("supervisor")

# A worker flushes and leaves the group within 30 s, or ends without; this is more, and less than the 45 s of the unit.
STOP_DEADLINE_S = 35.0
LOOK_S = 2.0
# Ends in a row, of every worker, before they were ready: that is no accident of one of them.
GIVE_UP_AFTER = 5
_CONFIGURATION, _FAILED = 2, 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        commands: the command line of each worker.
        environment: of every worker.
        bind: host and port for the probes; None serves none.
    """

    commands: Sequence[Sequence[str]]
    environment: Mapping[str, str]
    bind: tuple[str, int] | None


class Supervisor:
    """Starts workers, starts them again, and ends them. It never ends one that works.

    A worker that says it is stuck is left to whoever asks `/livez`: to end a process because it was slow to answer has ended
    healthy ones elsewhere.
    """

    def __init__(
        self,
        plan: Plan,
        directory: Path,
        log_to: BinaryIO,
        *,
        stop_deadline_s: float = STOP_DEADLINE_S,
        ask_deadline_s: float = DEADLINE_S,
    ) -> None:
        """Nothing is started yet.

        Args:
            plan: what to run.
            directory: for what workers and supervisor tell each other; gone after the run.
            log_to: where the workers' logs go.
            stop_deadline_s: how long workers may take to end.
            ask_deadline_s: how long a probe may take to answer.
        """
        self._plan = plan
        self._stop_deadline_s = stop_deadline_s
        self._children = [
            Child(number, command, directory, plan.environment, log_to) for number, command in enumerate(plan.commands)
        ]
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._scraper = Scraper(ask_deadline_s)
        self._server = SupervisorServer(self._children, self._scraper, self._stopping.is_set)
        self._code = 0

    async def run(self) -> int:
        """Work until told to stop or until no worker can; answers the exit code.

        Raises:
            ConfigError: the probes' address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told, number)
        loop.add_signal_handler(signal.SIGHUP, self._retry_parked)
        await self._scraper.start()
        try:
            if self._plan.bind is not None:
                await self._server.start(*self._plan.bind)
            log.info("probes", listening=self._server.addresses, workers=len(self._children))
            await self._work()
        finally:
            await self._server.stop()
            await self._scraper.stop()
        log.info("stopped cleanly" if self._code == 0 else "stopped", exit_code=self._code)
        return self._code

    def _told(self, number: signal.Signals) -> None:
        if self._stopping.is_set() and number == signal.SIGINT:
            self._at_once.set()  # Ctrl-C twice
        self._end(0)

    def _retry_parked(self) -> None:
        """Pass SIGHUP on: each worker tries its parked tasks again."""
        for child in self._children:
            child.send(signal.SIGHUP)

    def _end(self, code: int) -> None:
        """End everything; the first reason counts."""
        if not self._stopping.is_set():
            self._code = code
            self._stopping.set()

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(child)) for child in self._children]
                looking = group.create_task(self._look())
                await self._stopping.wait()
                await self._stop(keepers)
                looking.cancel()
        finally:
            for child in self._children:
                child.send(signal.SIGKILL)

    async def _keep(self, child: Child) -> None:
        """Fill one place for as long as there is no reason to end."""
        while not self._stopping.is_set():
            try:
                await child.start()
            except OSError as error:
                child.code = None
                log.error("worker could not be started", worker=child.number, error=str(error))
            else:
                if self._stopping.is_set():  # told meanwhile
                    child.ask_to_end()
                await child.ended()
            if not self._stopping.is_set():
                await self._after_end(child)

    async def _after_end(self, child: Child) -> None:
        """Judge an end that nobody here asked for, and wait until the worker may be started again."""
        if child.code == _CONFIGURATION and child.starts == 1 and not child.was_ready:
            log.error("a setting is wrong for every worker, so all end", worker=child.number, exit_code=child.code)
            self._end(_CONFIGURATION)
            return
        child.quick_ends = 0 if child.was_ready and child.ran_s >= SETTLED_S else child.quick_ends + 1
        if all(one.quick_ends >= GIVE_UP_AFTER and not one.was_ready for one in self._children):
            log.error("every worker ended again and again before it was ready, so all end", times=GIVE_UP_AFTER)
            self._end(_FAILED)
            return
        wait_s = backoff_s(child.quick_ends)
        child.due = time.monotonic() + wait_s
        if child.code is not None:
            log.warning(
                "worker ended",
                worker=child.number,
                **end_in_words(child.code),
                ran_seconds=round(child.ran_s, 1),
                starts_again_in_seconds=wait_s,
            )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def _look(self) -> None:
        """Know of each worker whether it was ready, and when it answered last."""
        while True:
            answers = await self._scraper.ask(self._children, "/livez")
            for child in self._children:
                answer = answers[child.number]
                if answer.status is not None:
                    child.answered_at = time.monotonic()
                    child.stuck = None if answer.good else answer.text.strip()
            waited_for = [child for child in self._children if not child.was_ready]
            ready = await self._scraper.ask(waited_for, "/readyz")
            for child in waited_for:
                child.was_ready = child.was_ready or ready[child.number].good
            await asyncio.sleep(LOOK_S)

    async def _stop(self, keepers: Sequence["asyncio.Task[None]"]) -> None:
        """SIGTERM to all, and SIGKILL to those that are still there after the deadline."""
        log.info("stopping", workers=sum(child.running for child in self._children))
        for child in self._children:
            child.ask_to_end()
        ended = asyncio.gather(*keepers)
        impatient = asyncio.ensure_future(self._at_once.wait())
        first: list[asyncio.Future[Any]] = [ended, impatient]
        await asyncio.wait(first, timeout=self._stop_deadline_s, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        late = [child for child in self._children if child.running]
        for child in late:
            log.error("worker did not end in time and is killed", worker=child.number, seconds=self._stop_deadline_s)
            child.send(signal.SIGKILL)
        await ended
        for child in self._children:
            # A signal that came before Python could listen to it ended a worker that had nothing yet.
            if child.asked_to_end and child.code not in (0, -signal.SIGTERM):
                how = end_in_words(child.code or _FAILED, killed_here=child in late)
                log.error("worker did not end cleanly", worker=child.number, **how)
                self._code = self._code or _FAILED


def run_workers(plan: Plan) -> int:
    """Run a plan to its end; answers the exit code.

    Raises:
        ConfigError: the probes' address cannot be bound.
    """
    with tempfile.TemporaryDirectory(prefix="modpulse-workers-") as directory:

        async def run() -> int:
            return await Supervisor(plan, Path(directory), sys.stderr.buffer).run()

        return asyncio.run(run())
