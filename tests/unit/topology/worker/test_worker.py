"""How a worker waits for its broker and with which error it ends; what it does with one is tested on a real broker."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from schemas.errors import BrokerUnavailable, ConfigError, ModpulseError, StateLost
from topology.runtime.acceptance import Acceptance
from topology.runtime.fail_stop import Failure
from topology.settings import load_settings
from topology.worker import worker as module_under_test
from topology.worker.worker import Worker

SETTINGS = load_settings(environ={"MODPULSE_METRICS__BIND": "127.0.0.1:0"})


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(SETTINGS, (), acceptance=Acceptance())
    yield made
    made._deadline.met()


def broker_says(monkeypatch: pytest.MonkeyPatch, *answers: ModpulseError | None) -> list[float]:
    """The broker answers so, one after the other; answers how long the worker waits in between."""
    left, waits = list(answers), list[float]()

    async def error(_: object) -> ModpulseError | None:
        return left.pop(0)

    async def wait(_: Worker, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(module_under_test, "connection_error", error)
    monkeypatch.setattr(Worker, "_sleep", wait)
    return waits


def test_the_first_error_is_the_one_the_worker_ends_with_and_where_it_arose_is_kept(worker: Worker) -> None:
    async def run() -> None:
        task: Any = SimpleNamespace(place="events/3 at 7")
        worker.assignment.tasks["3"] = task
        worker.failed("3", StateLost("the first"))
        worker.failed("3", StateLost("what came of it"))
        worker.failed(None, KafkaConnectionError())
        with pytest.raises(StateLost, match="the first"):
            await worker.run()
        assert worker.failure == Failure("3", "events/3 at 7")

    asyncio.run(run())


def test_an_error_of_no_task_or_of_one_that_is_gone_has_no_place(worker: Worker) -> None:
    worker.failed("9", StateLost("gone"))
    assert worker.failure == Failure()


def test_an_error_of_the_client_ends_the_worker_in_our_words_with_its_cause(worker: Worker) -> None:
    cause = TopicAuthorizationFailedError("module-metrics")
    worker.failed(None, cause)
    with pytest.raises(ConfigError, match="grant the ACL") as ended:
        asyncio.run(worker.run())
    assert ended.value.__cause__ is cause


def test_a_worker_that_was_asked_to_stop_before_there_was_a_broker_ends_without_an_error(worker: Worker) -> None:
    worker.stop()
    asyncio.run(worker.run())
    assert worker.failure == Failure()


def test_a_setting_that_the_broker_refuses_is_not_waited_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = broker_says(monkeypatch, BrokerUnavailable("away"), ConfigError("no such user"))
    with pytest.raises(ConfigError, match="no such user"):
        asyncio.run(worker.run())
    assert len(waits) == 1


def test_a_broker_that_is_away_is_asked_ever_more_rarely_but_never_given_up(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = broker_says(monkeypatch, *[BrokerUnavailable("away")] * 9, None)

    async def work(_: Worker) -> None:
        """Nothing."""

    monkeypatch.setattr(Worker, "_work", work)
    asyncio.run(worker.run())
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]


def test_before_there_is_a_broker_a_worker_is_not_ready(worker: Worker) -> None:
    assert worker._not_ready() == "waiting for the broker or the group"
