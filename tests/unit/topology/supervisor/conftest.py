"""A supervisor in the test's own process, over stand-ins for workers; its log is kept, and it waits for nothing long."""

import asyncio
import contextlib
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from tests.support.paths import ROOT
from tests.support.shell.scrapes import series_of
from topology.supervisor import supervisor
from topology.supervisor.supervisor import Plan, Supervisor

FAKE = ROOT / "tests" / "support" / "shell" / "fake_worker.py"
DEADLINE_S = 20.0
POLL_S = 0.01


class Fleet:
    """A supervisor in this process, over so many stand-ins."""

    def __init__(
        self,
        directory: Path,
        *behaviours: dict[str, Any],
        stop_deadline_s: float = DEADLINE_S,
        ask_deadline_s: float = DEADLINE_S,
    ) -> None:
        self._files = [directory / f"{number}.json" for number in range(len(behaviours))]
        for number, behaviour in enumerate(behaviours):
            self.behave(number, **behaviour)
        commands = [[sys.executable, "-I", "-S", str(FAKE), str(file)] for file in self._files]
        plan = Plan(commands, {"PATH": os.environ["PATH"]}, ("127.0.0.1", 0))
        self.log = io.BytesIO()
        self.supervisor = Supervisor(
            plan, directory, self.log, stop_deadline_s=stop_deadline_s, ask_deadline_s=ask_deadline_s
        )
        self.running: asyncio.Task[int] | None = None

    def behave(self, number: int, **behaviour: Any) -> None:
        """How a stand-in behaves from now on."""
        made = self._files[number].with_suffix(".new")
        made.write_text(json.dumps(behaviour))
        made.replace(self._files[number])

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator["Fleet"]:
        """Running, until the context is left at the latest."""
        self.running = asyncio.create_task(self.supervisor.run())
        try:
            yield self
        finally:
            self.supervisor._at_once.set()
            self.supervisor._end(0)
            await asyncio.wait([self.running])

    async def code(self) -> int:
        """Its exit code, when it has ended."""
        assert self.running is not None
        return await asyncio.wait_for(asyncio.shield(self.running), DEADLINE_S)

    def pid(self, number: int) -> int:
        process = self.supervisor._children[number].process
        return process.pid if process is not None and process.returncode is None else 0

    async def get(self, path: str) -> tuple[int, str]:
        """Ask its probes; status 0 where nobody listens."""
        if not self.supervisor._server.addresses:
            return 0, ""
        return await asyncio.to_thread(_get, f"http://{self.supervisor._server.addresses[0]}{path}")

    async def until(self, path: str, holds: Callable[[int, str], bool]) -> str:
        """Ask until the answer is so."""
        answer = await self.get(path)
        async with asyncio.timeout(DEADLINE_S):
            while not holds(*answer):
                await asyncio.sleep(POLL_S)
                answer = await self.get(path)
        return answer[1]

    async def all_ready(self) -> None:
        await self.until("/readyz", lambda status, _: status == 200)

    async def metric(self, name: str) -> dict[str, float]:
        """A metric by worker."""
        _, text = await self.get("/metrics")
        return {dict(labels)["worker"]: value for (found, labels), value in series_of(text).items() if found == name}


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the supervisor logs; and it waits for nothing long."""
    logger = CapturingLogger()
    lines: list[dict[str, Any]] = []

    def keep(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        lines.append({"level": method, **event})
        raise structlog.DropEvent

    for module in (supervisor, sys.modules["topology.supervisor.child"]):
        monkeypatch.setattr(module, "log", structlog.wrap_logger(logger, processors=[keep]))
    monkeypatch.setattr(supervisor, "backoff_s", lambda ends: 0.01)
    monkeypatch.setattr(supervisor, "LOOK_S", 0.02)
    return lines
