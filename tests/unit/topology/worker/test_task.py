"""One task on a broker that is a few dictionaries: where it goes on, what it takes in, and what it writes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schemas.errors import BrokerUnavailable, InputRewound, PartitionsChanged, StateLost
from schemas.state import POSITION_KEY
from tests.support.core.cores import Event, fixed
from tests.support.shell.clocks import NOW_MS, Clocks
from tests.support.shell.task_on_dicts import CHANGELOG, FORWARDED, SETTINGS, SOURCE, Kafka, made, opened, piece
from topology.records.piece import Piece
from topology.records.record_objects import RecordObjects
from topology.runtime.acceptance import Acceptance, Tasks
from topology.state.log_position import LogEdges


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    made = Kafka()
    made.install(monkeypatch)
    return made


EVENT = Event("shop", NOW_MS).value
BOUNDED = SETTINGS.model_copy(update={"limits": SETTINGS.limits.model_copy(update={"max_buffered_bytes": 500})})


def test_a_task_reads_on_where_it_committed_last_with_all_it_had(kafka: Kafka) -> None:
    async def run() -> None:
        former = await opened(kafka)
        assert former.offsets == {SOURCE: 0, FORWARDED: 0}
        await former.process(SOURCE, piece(0, 7, EVENT))
        await former.flush()
        await former.process(SOURCE, piece(7, 9, EVENT))  # never written
        task = await opened(kafka)
        assert task.offsets == {SOURCE: 7, FORWARDED: 0}
        assert task.core.ledgers[SOURCE].applied == 7
        assert task.core.shell.topic_ids == {SOURCE: "in-1", FORWARDED: "re-1", CHANGELOG: "log-1"}
        assert task.place == f"{FORWARDED}/3 at 0, {SOURCE}/3 at 7"

    asyncio.run(run())


@fixed(30)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), max_size=30))
def test_however_pieces_come_each_record_counts_once_and_none_is_passed_over(pieces: list[tuple[int, int]]) -> None:
    async def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            Kafka().install(patch)
            task = made(Clocks())
        task.offsets = {SOURCE: 0}
        for start, count in pieces:
            before = task.offsets[SOURCE]
            back_to = await task.process(SOURCE, piece(start, start + count))
            assert back_to == (before if start > before else None)
            assert task.offsets[SOURCE] == (max(before, start + count) if start <= before else before)
            if before or task.offsets[SOURCE]:
                assert task.core.ledgers[SOURCE].consumed == task.core.offsets[SOURCE] == task.offsets[SOURCE]

    asyncio.run(run())


def test_only_an_event_ends_a_silence(kafka: Kafka) -> None:
    async def run() -> None:
        clocks = Clocks()
        task = await opened(kafka, clocks)
        clocks.go(30)
        await task.process(SOURCE, piece(0, 5))
        assert task.silence.for_ms() == 30_000
        await task.process(SOURCE, piece(5, 6, EVENT))
        assert task.silence.for_ms() == 0
        assert task.silence.last_record_ms == NOW_MS + 30_000

    asyncio.run(run())


def test_nothing_new_is_no_transaction(kafka: Kafka) -> None:
    async def run() -> None:
        task = await opened(kafka)
        assert task.committed_offsets == {}
        await task.process(SOURCE, piece(0, 5))
        await task.flush()
        assert task.committed_offsets == {SOURCE: 5, FORWARDED: 0}
        await task.flush()
        assert len(kafka.transactions) == 1
        # Offsets alone are owed too: else a restart would read on behind a marker or a compacted stretch again.
        await task.process(SOURCE, piece(5, 5))
        await task.process(SOURCE, Piece(5, 8, RecordObjects([], 0, 0)))
        await task.flush()
        assert len(kafka.transactions) == 2
        assert task.committed_offsets == {SOURCE: 8, FORWARDED: 0} == kafka.committed_to

    asyncio.run(run())


def test_after_a_flush_that_failed_nothing_more_is_written(kafka: Kafka) -> None:
    async def fail() -> None:
        raise OSError("away")

    async def run() -> None:
        task = await opened(kafka)
        await task.process(SOURCE, piece(0, 5))
        kafka.commits = fail
        with pytest.raises(OSError, match="away"):
            await task.flush()
        kafka.commits = None
        await task.process(SOURCE, piece(5, 6))
        with pytest.raises(BrokerUnavailable, match="task 3: a flush failed before"):
            await task.flush()
        assert (kafka.transactions, task.committed_offsets) == ([], {})

    asyncio.run(run())


def test_a_task_that_is_given_up_does_not_wait_for_a_broker_that_is_away(kafka: Kafka) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        task = await opened(kafka)
        task.resume()
        await task.process(SOURCE, piece(0, 5))
        kafka.commits = hang
        with pytest.raises(TimeoutError, match=r"task 3 could not be flushed within 0\.01 s"):
            await task.suspend(0.01)
        kafka.commits = None
        with pytest.raises(BrokerUnavailable):
            await task.flush()
        await task.close()
        assert kafka.transactions == []

    asyncio.run(run())


def test_a_task_that_gives_its_partition_back_writes_what_it_owes_and_can_go_on(kafka: Kafka) -> None:
    async def run() -> None:
        task = await opened(kafka)
        assert (task.suspended, task.overdue_s) == (True, 0.0)
        task.resume()
        assert not task.suspended
        await task.process(SOURCE, piece(0, 5))
        await task.suspend(5.0)
        assert kafka.committed_to[SOURCE] == 5
        assert (task.suspended, task.overdue_s) == (True, 0.0)
        task.resume()
        await task.process(SOURCE, piece(5, 6))
        await task.suspend(5.0)
        assert kafka.committed_to[SOURCE] == 6
        await task.close()

    asyncio.run(run())


def test_an_error_of_the_flush_loop_is_the_tasks(kafka: Kafka) -> None:
    async def fail() -> None:
        raise OSError("away")

    async def run() -> tuple[str, BaseException]:
        said: asyncio.Future[tuple[str, BaseException]] = asyncio.get_running_loop().create_future()
        task = await opened(kafka, settings=BOUNDED, failed=lambda name, error: said.set_result((name, error)))
        task.resume()
        kafka.commits = fail
        await task.process(SOURCE, piece(0, 1))  # more than may wait: a flush is due at once
        async with asyncio.timeout(5):
            found = await said
        await task.close()
        return found

    name, error = asyncio.run(run())
    assert (name, str(error)) == ("3", "away")


@pytest.mark.parametrize(("records", "written"), [(0, False), (1, False), (2, True)])
def test_a_task_with_twice_what_may_wait_takes_nothing_more_in_before_it_is_written(
    kafka: Kafka, records: int, written: bool
) -> None:
    async def run() -> None:
        task = await opened(kafka, settings=BOUNDED)
        task.resume()
        await task.process(SOURCE, piece(0, records))
        assert bool(kafka.transactions) == written
        await task.close()

    asyncio.run(run())


def test_what_retention_deleted_before_it_was_read_is_counted_and_said(kafka: Kafka) -> None:
    async def run() -> None:
        task = await opened(kafka)
        await task.process(SOURCE, piece(0, 5))
        await task.flush()
        kafka.edges_of[SOURCE] = LogEdges("in-1", 12, 1_000)
        with capture_logs() as lines:
            task = await opened(kafka)
        assert [line["lost"] for line in lines if line["log_level"] == "error"] == [7]
        assert (task.offsets[SOURCE], task.core.shell.lost) == (12, {SOURCE: 7})
        assert task.skip_lost(SOURCE, 20) == 20
        assert task.skip_lost(SOURCE, 15) == 20, "it never goes back"
        assert task.core.shell.lost == {SOURCE: 15}
        assert task.core.offsets[SOURCE] == task.offsets[SOURCE] == 20

    asyncio.run(run())


def test_lost_state_names_its_task_and_is_begun_anew_only_with_consent_for_it(kafka: Kafka) -> None:
    async def run() -> None:
        task = await opened(kafka)
        await task.process(SOURCE, piece(0, 5, EVENT))
        await task.flush()
        lost = set(kafka.state) - {POSITION_KEY}
        assert lost
        kafka.committed_to[SOURCE] = 90  # others went on, and their state is gone
        for names in ({"2"}, set[str]()):
            with pytest.raises(StateLost, match=r"^task 3: .*--accept-state-loss 3"):
                await opened(kafka, acceptance=Acceptance(state_loss=Tasks(frozenset(names))))
        task = await opened(kafka, acceptance=Acceptance(state_loss=Tasks(frozenset({"3"}))))
        assert task.offsets[SOURCE] == 90
        assert task.core.ledgers.get(SOURCE) is None
        assert not lost & set(kafka.state), "no later restore may mix the old state with the new one"

    asyncio.run(run())


def test_an_input_that_was_made_anew_is_read_from_its_beginning_only_with_consent(kafka: Kafka) -> None:
    async def run() -> None:
        task = await opened(kafka)
        await task.process(SOURCE, piece(0, 5, EVENT))
        await task.flush()
        kafka.edges_of[SOURCE] = LogEdges("in-2", 0, 3)
        with pytest.raises(InputRewound, match="--accept-input-reset"):
            await opened(kafka, acceptance=Acceptance(state_loss=Tasks(None)))
        task = await opened(kafka, acceptance=Acceptance(input_reset=Tasks(None)))
        assert task.offsets[SOURCE] == task.core.offsets[SOURCE] == 0
        assert task.core.ledgers[SOURCE].applied == 5, "the windows are kept"

    asyncio.run(run())


def test_state_made_for_other_partitions_is_refused_whatever_was_accepted(kafka: Kafka) -> None:
    async def run() -> None:
        everything = Acceptance(Tasks(None), Tasks(None))
        kafka.other_partitions = PartitionsChanged("task 5 has state for 8 partitions")
        with pytest.raises(PartitionsChanged, match="task 5"):
            await opened(kafka, acceptance=everything)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("start_at", "asked_ms"), [("now", NOW_MS - 300_000), (NOW_MS - 1_000_000, NOW_MS - 1_300_000), (200_000, 0)]
)
def test_a_new_task_that_begins_at_a_time_reads_what_clocks_that_differ_may_have_written_earlier(
    kafka: Kafka, start_at: str | int, asked_ms: int
) -> None:
    async def run() -> None:
        settings = SETTINGS.model_copy(update={"start_at": start_at})
        task = await opened(kafka, settings=settings)
        assert kafka.asked_time_ms == [asked_ms]
        assert task.offsets == {SOURCE: 400, FORWARDED: 0}
        await task.flush()
        task = await opened(kafka, settings=settings)
        assert kafka.asked_time_ms == [asked_ms], "a task that has state goes by it"

    asyncio.run(run())
