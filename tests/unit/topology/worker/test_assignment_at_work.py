"""An assignment while its tasks work: what it hands on, what an offset that is not in the log means, and who goes on."""

import asyncio

import pytest
from faust.types import TP

from schemas.errors import BrokerUnavailable, DeadLetterLimitExceeded, InputRewound, StateLost
from schemas.state import Ledger
from tests.support.shell.assignment_stage import SOURCE, Stage, share, until_quiet
from topology.records.piece import Piece
from topology.records.record_objects import RecordObjects
from topology.worker import assignment as module_under_test
from topology.worker.assignment import REWOUND_ANSWERS
from topology.worker.topic_snapshot import TopicSnapshot

INPUT = TP(SOURCE, 0)
NOTHING = Piece(0, 0, RecordObjects([], 0, 0))


async def at_work(monkeypatch: pytest.MonkeyPatch, *, strict: bool = False) -> Stage:
    """With task 0, which stands at offset 10 of its sources, and task 1."""
    monkeypatch.setattr(module_under_test, "ASK_AGAIN_S", 0.0)
    stage = Stage(monkeypatch, strict=strict)
    await stage.assignment.assigned(share(0, 1))
    return stage


def test_only_a_task_of_ours_that_is_at_work_is_given_what_was_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        await stage.assignment.batch(INPUT, NOTHING)
        await stage.assignment.batch(TP(SOURCE, 2), NOTHING)
        task = stage.made["0"]
        task.suspended = True
        await stage.assignment.batch(INPUT, NOTHING)
        assert (task.processed, stage.made["1"].processed) == (1, 0)

    asyncio.run(run())


def test_the_task_that_passes_the_stop_ratio_goes_before_the_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        stage.made["0"].core.ledgers[SOURCE] = Ledger(consumed=10, applied=5, invalid=5)
        assert await stage.assignment.batch(INPUT, NOTHING) is None
        stage.made["0"].core.ledgers[SOURCE] = Ledger(consumed=11, applied=5, invalid=6)
        with pytest.raises(DeadLetterLimitExceeded, match="task 0"):
            await stage.assignment.batch(INPUT, NOTHING)
        assert (stage.names, stage.closed) == (["1"], ["0"])
        await stage.assignment.end(1.0)
        assert stage.written == ["1"], "not even a last flush may commit what it holds"

    asyncio.run(run())


def test_an_offset_that_is_not_the_position_is_an_old_question(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        assert await stage.assignment.out_of_range(INPUT, 9) == 10
        assert await stage.assignment.out_of_range(TP(SOURCE, 2), 10) is None

    asyncio.run(run())


def test_what_retention_overtook_is_gone_and_the_task_goes_on_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        stage.log_of[INPUT] = (25, 100)
        assert await stage.assignment.out_of_range(INPUT, 10) == 25
        assert stage.names == ["0", "1"]

    asyncio.run(run())


def test_a_log_that_holds_the_position_after_all_is_asked_again_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        assert await stage.assignment.out_of_range(INPUT, 10) is None
        assert INPUT not in stage.reading
        assert TP(SOURCE, 1) in stage.reading
        await until_quiet()
        assert stage.reading[INPUT] == 10

    asyncio.run(run())


def test_an_input_is_cut_once_the_broker_has_said_so_several_times_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        answers = [(0, 5)] * (REWOUND_ANSWERS - 1) + [(0, 100)] + [(0, 5)] * REWOUND_ANSWERS
        for number, edges in enumerate(answers, start=1):
            assert stage.names == ["0", "1"], f"before answer {number}"
            stage.log_of[INPUT] = edges
            assert await stage.assignment.out_of_range(INPUT, 10) is None
            await until_quiet()
        assert stage.names == ["1"]
        assert isinstance(stage.assignment.parked.error_of("0"), InputRewound)
        assert INPUT not in stage.reading
        assert stage.written == ["0"], "what it had read is written before it stands still"

    asyncio.run(run())


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("flush", [False, True])
def test_a_task_that_stands_still_from_now_on_writes_before_where_that_makes_sense(
    monkeypatch: pytest.MonkeyPatch, strict: bool, flush: bool
) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch, strict=strict)
        lost = StateLost("task 0: gone")
        await stage.assignment.park(stage.assignment.tasks["0"], lost, flush=flush)
        assert (stage.names, stage.closed, stage.written) == (["1"], ["0"], ["0"] if flush else [])
        assert stage.assignment.parked.error_of("0") is lost
        assert stage.failed == ([("0", lost)] if strict else [])

    asyncio.run(run())


def test_other_partitions_found_when_a_task_is_tried_again_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        await stage.assignment.park(stage.assignment.tasks["0"], StateLost("task 0: gone"))
        stage.topics = TopicSnapshot(4)
        stage.assignment.retry_parked(all_of_them=True)
        await until_quiet()
        assert [task for task, _ in stage.failed] == [None]
        assert "has 4 now" in str(stage.failed[0][1])
        assert stage.names == ["1"]

    asyncio.run(run())


def test_the_end_writes_what_every_task_owes_and_closes_them_all_even_where_one_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        stage = await at_work(monkeypatch)
        stage.owed["0"] = BrokerUnavailable("away")
        await stage.assignment.end(1.0)
        assert (stage.names, sorted(stage.closed), stage.written) == ([], ["0", "1"], ["1"])

    asyncio.run(run())
