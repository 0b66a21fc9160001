"""The supervisor over stand-ins for workers: who is started again, when all end, and what is answered meanwhile."""

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from schemas.errors import ConfigError
from tests.support.paths import ROOT
from tests.support.scrapes import series_of
from topology.supervisor import server, supervisor
from topology.supervisor.child import Child
from topology.supervisor.supervisor import Plan, Supervisor

pytestmark = pytest.mark.slow

FAKE = ROOT / "tests" / "support" / "fake_worker.py"
DEADLINE_S = 20.0
POLL_S = 0.01
RESTARTS_OF_1 = 'modpulse_worker_restarts_total{worker="1"}'


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


@pytest.fixture(autouse=True)
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


def go(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_it_is_ready_when_every_worker_is_and_lists_each(tmp_path: Path) -> None:
    async def scenario() -> None:
        restoring = {"answers": {"/readyz": [503, "restoring\n"]}}
        async with Fleet(tmp_path, {}, restoring).started() as fleet:
            text = await fleet.until("/readyz", lambda _, text: "restoring" in text and "starting" not in text)
            assert (await fleet.get("/readyz"))[0] == 503
            assert text == "worker 0: ok\nworker 1: restoring\n"
            fleet.behave(1, answers={"/readyz": [200, "ok\nwarning: dead letters\n"]})
            await fleet.all_ready()
            assert (await fleet.get("/readyz"))[1] == "worker 0: ok\nworker 1: ok\nworker 1: warning: dead letters\n"
            assert await fleet.get("/livez") == (200, "ok\n")

    go(scenario)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV"), (signal.SIGTERM, None)]
)
def test_a_worker_that_ends_is_started_again_and_its_end_is_said_by_name(
    tmp_path: Path, said: list[dict[str, Any]], number: signal.Signals, name: str | None
) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {}).started() as fleet:
            await fleet.all_ready()
            assert await fleet.metric("modpulse_worker_restarts_total") == {"0": 0, "1": 0}
            first, other = fleet.pid(1), fleet.pid(0)
            os.kill(first, number)
            await fleet.until("/metrics", lambda _, text: f"{RESTARTS_OF_1} 1.0" in text)
            await fleet.all_ready()
            assert await fleet.metric("modpulse_worker_restarts_total") == {"0": 0, "1": 1}
            assert fleet.pid(1) not in (first, 0)
            assert fleet.pid(0) == other, "the other one is left alone"

    go(scenario)
    (end,) = [line for line in said if line["event"] == "worker ended"]
    assert (end["worker"], end.get("signal"), end.get("exit_code")) == (1, name, None if name else 0)
    assert ("memory is short" in end.get("hint", "")) == (number == signal.SIGKILL)


def test_a_wrong_setting_at_the_first_start_ends_all_with_its_code(tmp_path: Path, said: list[dict[str, Any]]) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {"exit": 2}, {}).started() as fleet:
            assert await fleet.code() == 2
            assert [fleet.pid(number) for number in range(3)] == [0, 0, 0]
            assert b"worker=1 modpulse: a wrong setting\n" in fleet.log.getvalue()

    go(scenario)
    assert "a setting is wrong" in " ".join(line["event"] for line in said)


def test_a_wrong_setting_at_a_later_start_costs_that_worker_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {}).started() as fleet:
            await fleet.all_ready()
            fleet.behave(1, exit=2)
            os.kill(fleet.pid(1), signal.SIGKILL)
            await fleet.until("/metrics", lambda _, text: f"{RESTARTS_OF_1} 2.0" in text)
            assert fleet.pid(0)
            text = await fleet.until("/readyz", lambda _, text: "exit code 2" in text)
            assert text.startswith("worker 0: ok\nworker 1: ended with exit code 2")
            fleet.behave(1)
            await fleet.all_ready()

    go(scenario)


def test_workers_that_never_get_ready_end_all_in_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {"exit": 1}, {"exit": 1}).started() as fleet:
            assert await fleet.code() == 1
            assert all(child.starts >= supervisor.GIVE_UP_AFTER for child in fleet.supervisor._children)

    go(scenario)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_worker_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {}, {}).started() as fleet:
            await fleet.all_ready()
            os.kill(os.getpid(), number)
            assert await fleet.code() == 0
            lines = [json.loads(line) for line in fleet.log.getvalue().splitlines()]
            assert sorted(line["worker"] for line in lines if line["event"] == "stopped") == [0, 1, 2]

    go(scenario)


def test_a_worker_that_does_not_end_in_time_is_killed_and_the_exit_code_says_so(
    tmp_path: Path, said: list[dict[str, Any]]
) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {"deaf": True}, stop_deadline_s=0.3).started() as fleet:
            await fleet.all_ready()
            os.kill(os.getpid(), signal.SIGTERM)
            await fleet.until("/readyz", lambda status, text: text.startswith("stopping\n") and status == 503)
            assert await fleet.code() == 1

    go(scenario)
    ends = [line for line in said if line["event"] == "worker did not end cleanly"]
    assert [(end["worker"], end["signal"], "hint" in end) for end in ends] == [(1, "SIGKILL", False)]


def test_a_second_ctrl_c_does_not_wait_for_the_deadline(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {"deaf": True}, stop_deadline_s=10 * DEADLINE_S).started() as fleet:
            await fleet.all_ready()
            os.kill(os.getpid(), signal.SIGINT)
            await fleet.until("/readyz", lambda status, text: text.startswith("stopping\n"))
            os.kill(os.getpid(), signal.SIGINT)
            assert await fleet.code() == 1

    go(scenario)


def test_a_worker_that_fails_in_its_last_flush_is_told_by_the_exit_code(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {"ends_with": 1}).started() as fleet:
            await fleet.all_ready()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await fleet.code() == 1

    go(scenario)


def test_a_worker_that_does_not_answer_a_scrape_is_shown_and_holds_up_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {"silent": ["/metrics"]}, ask_deadline_s=0.5).started() as fleet:
            await fleet.all_ready()
            assert await fleet.metric("modpulse_worker_up") == {"0": 1, "1": 0}
            assert await fleet.metric("work") == {"0": 1}
            fleet.behave(1)
            assert await fleet.metric("modpulse_worker_up") == {"0": 1, "1": 1}
            assert await fleet.metric("work") == {"0": 1, "1": 1}

    go(scenario)


def test_it_lives_as_long_as_no_worker_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {}, ask_deadline_s=0.2).started() as fleet:
            await fleet.all_ready()
            fleet.behave(1, answers={"/livez": [503, "the main loop has not turned for 70 s\n"]})
            await fleet.until("/livez", lambda status, _: status == 503)
            assert (await fleet.get("/livez"))[1] == "worker 1: the main loop has not turned for 70 s\n"
            fleet.behave(1)
            await fleet.until("/livez", lambda status, _: status == 200)
            # A worker whose whole process stands still cannot even say that it is stuck.
            monkeypatch.setattr(server, "STUCK_AFTER_S", 0.5)
            os.kill(fleet.pid(0), signal.SIGSTOP)
            text = await fleet.until("/livez", lambda status, _: status == 503)
            assert text.startswith("worker 0: its probes have not answered for ")
            os.kill(fleet.pid(0), signal.SIGCONT)
            await fleet.until("/livez", lambda status, _: status == 200)

    go(scenario)


def test_an_address_that_is_taken_is_a_wrong_setting_and_starts_no_worker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}).started() as first:
            await first.all_ready()
            host, port = first.supervisor._server.addresses[0].split(":")
            plan = Plan([[sys.executable, "-c", "raise SystemExit(7)"]], {}, (host, int(port)))
            second = Supervisor(plan, tmp_path, io.BytesIO())
            with pytest.raises(ConfigError, match=f"metrics.bind = {host}:{port} cannot be bound"):
                await second.run()
            assert second._children[0].starts == 0

    go(scenario)


def test_what_was_accepted_for_one_start_is_not_passed_on_to_the_next(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    note = f"import sys; open({str(seen)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"
    command = [sys.executable, "-c", note, "run", "--accept-state-loss", "3", "--strict"]

    async def scenario() -> None:
        with (tmp_path / "log").open("wb") as log:
            child = Child(0, command, tmp_path, {}, log)
            for _ in range(2):
                await child.start()
                assert await child.ended() == 0

    go(scenario)
    assert seen.read_text("utf-8").splitlines() == ["run --accept-state-loss 3 --strict", "run --strict"]


def test_sighup_reaches_every_worker_and_ends_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {}).started() as fleet:
            await fleet.all_ready()
            former = fleet.pid(0), fleet.pid(1)
            os.kill(os.getpid(), signal.SIGHUP)
            await fleet.until("/livez", lambda _, __: fleet.log.getvalue().count(b'"tried again"') == 2)
            assert (fleet.pid(0), fleet.pid(1)) == former

    go(scenario)
