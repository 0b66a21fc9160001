"""Which tasks a worker has, which stand still, and what ends it."""

import asyncio

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from faust.types import TP

from schemas.errors import (
    BrokerUnavailable,
    ConfigError,
    InputRewound,
    PartitionsChanged,
    StateLost,
    TaskFenced,
)
from tests.support.shell.assignment_stage import FORWARDED, PARTIALS, SOURCE, Stage, share, until_quiet
from topology.records.piece import Piece
from topology.records.record_objects import RecordObjects
from topology.runtime.acceptance import Acceptance, Tasks
from topology.worker.topic_snapshot import TopicSnapshot

LOST = StateLost("task 0: cut")
NOTHING = Piece(0, 0, RecordObjects([], 0, 0))


def test_a_partition_is_a_task_once_both_its_sources_are_here_and_the_partials_are_the_systems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        await stage.assignment.assigned({*share(0, system=True), TP(SOURCE, 1), TP(FORWARDED, 2), TP(PARTIALS, 1)})
        assert stage.names == ["0", "system"]
        assert stage.reading == {TP(SOURCE, 0): 10, TP(FORWARDED, 0): 10, TP(PARTIALS, 0): 10}
        assert (stage.assignment.joined, stage.assignment.opening) == (True, False)
        assert sorted(stage.assignment.clients()) == ["0", "system"]

    asyncio.run(run())


def test_a_rebalance_keeps_the_tasks_that_come_back_and_drops_those_that_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        await stage.assignment.assigned(share(0, 1))
        kept = stage.made["1"]
        await stage.assignment.revoked(share(0, 1))
        assert not stage.assignment.joined
        assert await stage.assignment.batch(TP(SOURCE, 1), NOTHING) is None
        assert kept.processed == 0, "what was fetched before belongs to nobody"
        await stage.assignment.assigned(share(1, 2))
        assert stage.names == ["1", "2"]
        assert stage.made["1"] is kept
        assert not kept.suspended
        assert stage.closed == ["0"]
        assert [name for name, _ in stage.accepted] == ["0", "1", "2"], "a task that is kept is not opened again"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "ends_the_worker"),
    [(TimeoutError("slow"), False), (TaskFenced("another"), False), (BrokerUnavailable("away"), True)],
)
def test_a_task_that_cannot_be_written_is_left_to_its_next_owner(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, ends_the_worker: bool
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        await stage.assignment.assigned(share(0, 1))
        stage.owed["0"] = error
        await stage.assignment.revoked(share(0, 1))
        assert (stage.names, stage.closed) == (["1"], ["0"])
        assert stage.failed == ([("0", error)] if ends_the_worker else [])

    asyncio.run(run())


def test_a_task_that_cannot_be_opened_stands_still_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        stage.fails["0"] = LOST
        await stage.assignment.assigned(share(0, 1))
        assert stage.names == ["1"]
        assert stage.assignment.parked.error_of("0") is LOST
        assert stage.closed == ["0"], "nothing of it stays open"
        assert TP(SOURCE, 0) not in stage.reading
        await stage.assignment.assigned(share(1))
        assert len(stage.assignment.parked) == 0, "it is another worker's now"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "strict"),
    [
        (TopicAuthorizationFailedError("dlq"), False),
        (ConfigError("no such file"), False),
        (TaskFenced("another"), False),
        (PartitionsChanged("8"), False),
        (LOST, True),
    ],
)
def test_what_concerns_more_than_one_task_ends_the_worker_and_so_does_anything_when_it_is_strict(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, strict: bool
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch, strict=strict)
        stage.fails["0"] = error
        with pytest.raises(BaseExceptionGroup) as ended:
            await stage.assignment.assigned(share(0))
        assert ended.value.exceptions == (error,)
        assert (stage.closed, len(stage.assignment.parked)) == (["0"], 0)

    asyncio.run(run())


@pytest.mark.parametrize(("partitions", "ends"), [(2, True), (3, False)])
def test_a_worker_that_has_every_partition_and_can_open_none_is_of_no_use(
    monkeypatch: pytest.MonkeyPatch, partitions: int, ends: bool
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch, partitions)
        stage.fails |= {"0": LOST, "1": InputRewound("task 1: cut")}
        if ends:
            with pytest.raises(StateLost, match="task 0"):
                await stage.assignment.assigned(share(0, 1, system=True))
        else:
            await stage.assignment.assigned(share(0, 1, system=True))

    asyncio.run(run())


def test_trouble_that_passes_by_itself_is_waited_for_in_every_task_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch, 2)
        stage.fails |= {"0": LOST, "1": BrokerUnavailable("away")}
        await stage.assignment.assigned(share(0, 1))
        assert (stage.names, len(stage.assignment.parked)) == ([], 2)

    asyncio.run(run())


def test_consent_is_for_the_first_opening_and_what_was_given_for_all_only_for_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        given = Acceptance(Tasks(frozenset({"0", "2"})), Tasks(None))
        stage = Stage(monkeypatch, acceptance=given)
        await stage.assignment.assigned(share(0))
        await stage.assignment.assigned(share(1))
        await stage.assignment.assigned(share(0, 2))
        assert stage.accepted == [
            ("0", given),
            ("1", Acceptance(Tasks(frozenset({"0", "2"})))),
            ("0", Acceptance()),
            ("2", Acceptance(Tasks(frozenset({"0", "2"})))),
        ]

    asyncio.run(run())


def test_a_name_in_the_consent_that_is_no_task_is_refused_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch, acceptance=Acceptance(Tasks(frozenset({"3"}))))
        with pytest.raises(ConfigError, match="names task 3"):
            await stage.assignment.assigned(share(0))
        assert stage.accepted == []

    asyncio.run(run())


def test_other_partitions_than_before_are_refused_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        await stage.assignment.assigned(share(0))
        stage.topics = TopicSnapshot(4)
        with pytest.raises(PartitionsChanged, match="had 3 partitions"):
            await stage.assignment.assigned(share(0, 1))
        assert [name for name, _ in stage.accepted] == ["0"]

    asyncio.run(run())


def test_a_task_that_was_given_up_is_not_tried_before_an_operator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch, given_up={"0": "task 0 is given up at x"})
        await stage.assignment.assigned(share(0, 1))
        assert (stage.names, [name for name, _ in stage.accepted]) == (["1"], ["1"])
        assert str(stage.assignment.parked.error_of("0")) == "task 0 is given up at x"
        stage.assignment.retry_parked()
        await until_quiet()
        assert stage.names == ["1"]
        stage.assignment.retry_parked(all_of_them=True)
        await until_quiet()
        assert (stage.names, len(stage.assignment.parked)) == (["0", "1"], 0)

    asyncio.run(run())


def test_a_wish_to_try_all_again_is_kept_while_the_worker_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = Stage(monkeypatch)
        stage.fails["0"] = LOST
        await stage.assignment.assigned(share(0, 1))
        await stage.assignment.revoked(share(0, 1))
        del stage.fails["0"]
        stage.assignment.retry_parked(all_of_them=True)
        await until_quiet()
        assert stage.names == ["1"]
        stage.fails["0"] = LOST
        await stage.assignment.assigned(share(0, 1))
        del stage.fails["0"]
        stage.assignment.retry_parked()
        await until_quiet()
        assert stage.names == ["0", "1"]

    asyncio.run(run())
