"""What a supervisor answers for its workers: ready when all are, alive as long as none is beyond hope, one page of metrics."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.unit.topology.supervisor.conftest import Fleet
from topology.supervisor import server
from topology.supervisor.child import Child
from topology.supervisor.scrape import Answer
from topology.supervisor.server import STUCK_AFTER_S, why_stuck

pytestmark = pytest.mark.usefixtures("said")


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


class Still(Child):
    """A worker without a process, which is said to run or not to."""

    def __init__(self, directory: Path, *, runs: bool, code: int | None = None, due_in_s: float | None = None) -> None:
        super().__init__(3, [sys.executable], directory, {}, sys.stderr.buffer)
        self.runs = runs
        self.code = code
        self.due = None if due_in_s is None else time.monotonic() + due_in_s

    @property
    def running(self) -> bool:
        return self.runs


def test_a_worker_is_stuck_by_its_own_word_or_by_a_minute_of_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 500.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    worker = Still(tmp_path, runs=True)
    now += STUCK_AFTER_S
    assert why_stuck(worker) is None
    now += 1
    assert why_stuck(worker) == "its probes have not answered for 61 s"
    worker.stuck = "the main loop has not turned for 70 s"
    assert why_stuck(worker) == worker.stuck
    worker.runs = False
    assert why_stuck(worker) is None, "one that ended is started again, which is all that would help"


@pytest.mark.parametrize(
    ("code", "due_in_s", "told"),
    [
        (None, None, "not started"),
        (2, None, "ended with exit code 2"),
        (-9, None, "ended by SIGKILL"),
        (1, 14.9, "ended with exit code 1; it is started again in 15 s"),
        (-15, -3.0, "ended by SIGTERM; it is started again in 0 s"),
    ],
)
def test_of_a_worker_that_is_gone_is_said_how_it_ended_and_when_it_comes_back(
    tmp_path: Path, code: int | None, due_in_s: float | None, told: str
) -> None:
    gone = Still(tmp_path, runs=False, code=code, due_in_s=due_in_s)
    assert server._said(gone, Answer(None, "starting")) == (False, told)


def test_of_a_worker_that_runs_or_answered_its_own_words_are_passed_on(tmp_path: Path) -> None:
    runs, ended = Still(tmp_path, runs=True), Still(tmp_path, runs=False, code=1)
    assert server._said(runs, Answer(None, "starting")) == (False, "starting")
    assert server._said(runs, Answer(503, "restoring\n")) == (False, "restoring\n")
    assert server._said(ended, Answer(200, "ok\n")) == (True, "ok\n"), "it ended after it had answered"
