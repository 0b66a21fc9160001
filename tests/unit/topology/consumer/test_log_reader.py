"""A log from here to there: all that is committed in between, and an error where nothing comes."""

import asyncio
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.errors import BrokerUnavailable
from tests.support.records import wire
from tests.support.records.stored_logs import LogConsumer, StoredLog
from tests.support.records.wire import Rec
from topology.consumer import log_reader as module
from topology.consumer.log_reader import STALL_TIMEOUT_S, log_reader, spans_between

TP = TopicPartition("state", 3)


def stored(*offsets: int) -> list[bytes]:
    return [wire.batch([Rec(offset, 1, b"k", b"v")]) for offset in offsets]


def read(consumer: Any, begin: int, end: int) -> tuple[list[tuple[int, int]], list[int]]:
    """The spans as (start, end), and the offsets of their records."""

    async def scenario() -> tuple[list[tuple[int, int]], list[int]]:
        spans = [span async for span in spans_between(consumer, TP, begin, end)]
        offsets = [offset for span in spans for piece in span.pieces(10) for offset in piece.offsets]
        return [(span.start, span.end) for span in spans], offsets

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("begin", "end", "spans", "offsets"),
    [
        (0, 9, [(0, 4), (4, 6), (6, 9)], [1, 4, 6]),
        (2, 6, [(2, 6)], [4]),
        (2, 3, [(2, 6)], [4]),  # the last one may reach beyond the end
        (7, 9, [(7, 9)], []),  # nothing but markers
        (4, 4, [], []),
        (9, 9, [], []),
    ],
)
def test_spans_follow_each_other_from_the_beginning_to_the_end_asked_for(
    begin: int, end: int, spans: list[tuple[int, int]], offsets: list[int]
) -> None:
    consumer = LogConsumer({TP: StoredLog(stored(1, 4, 6), 9)})
    assert read(consumer, begin, end) == (spans, offsets)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A clock that is ten seconds on whenever somebody looks."""
    times = itertools.count(0.0, 10.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(times)))
    return times


def test_time_counts_from_the_last_progress_and_not_from_the_beginning(ticking: Iterator[float]) -> None:
    """A restore of a large state may take as long as it likes."""
    consumer = LogConsumer({TP: StoredLog(stored(*range(20)), 20)})
    consumer.pauses = 5
    assert read(consumer, 0, 20)[1] == list(range(20))
    assert next(ticking) > 10 * STALL_TIMEOUT_S


def test_a_log_that_brings_nothing_for_a_minute_is_an_error_with_its_place(ticking: Iterator[float]) -> None:
    consumer = LogConsumer({TP: StoredLog(stored(1), 9)})
    consumer.stalled = True
    with pytest.raises(BrokerUnavailable, match="state/3: nothing came for 60 s before offset 9"):
        read(consumer, 0, 9)
    assert next(ticking) == 80


def test_a_reader_sees_committed_records_resets_nothing_by_itself_and_is_stopped_in_any_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[LogConsumer] = []

    def make(**options: Any) -> LogConsumer:
        made.append(LogConsumer({}, **options))
        return made[-1]

    monkeypatch.setattr(module, "SpanConsumer", make)

    async def scenario() -> None:
        async with log_reader({"client_id": "me"}, fetch_max_bytes=5) as consumer:
            assert consumer is made[0]
            assert made[0].running
        with pytest.raises(ValueError, match="whatever"):
            async with log_reader({}, auto_offset_reset="earliest"):
                raise ValueError("whatever")

    asyncio.run(scenario())
    assert [consumer.running for consumer in made] == [False, False]
    assert made[0].options == {
        "client_id": "me",
        "fetch_max_bytes": 5,
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
    }
    assert made[1].options["auto_offset_reset"] == "earliest"
