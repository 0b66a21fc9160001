"""The supervisor over stand-ins for workers: who is started again, when all end, and with which exit code."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ConfigError
from tests.unit.topology.supervisor.conftest import DEADLINE_S, Fleet
from topology.supervisor import supervisor
from topology.supervisor.supervisor import Plan, Supervisor

pytestmark = pytest.mark.usefixtures("said")

RESTARTS_OF_1 = 'modpulse_worker_restarts_total{worker="1"}'


def go(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


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


def test_sighup_reaches_every_worker_and_ends_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Fleet(tmp_path, {}, {}).started() as fleet:
            await fleet.all_ready()
            former = fleet.pid(0), fleet.pid(1)
            os.kill(os.getpid(), signal.SIGHUP)
            await fleet.until("/livez", lambda _, __: fleet.log.getvalue().count(b'"tried again"') == 2)
            assert (fleet.pid(0), fleet.pid(1)) == former

    go(scenario)
