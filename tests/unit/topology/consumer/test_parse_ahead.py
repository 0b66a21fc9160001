"""The line between fetching and processing: its order, its two limits, its end."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from types import SimpleNamespace

import pytest
from aiokafka.errors import CorruptRecordException
from faust.types import TP

from topology.consumer.fetch import Piece, Span
from topology.consumer.parse_ahead import ParseAhead, Parsed
from topology.records.record_objects import RecordObjects

PARTITION = TP("events", 0)
DEADLINE_S = 10.0


LARGE = 1_000_000


class Pieces:
    """Makes pieces of one record, of a size given by their number; notes which were asked for."""

    def __init__(self, count: int, size: Callable[[int], int] = lambda number: 0) -> None:
        self.begun: list[int] = []
        self._count = count
        self._size = size
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[Piece]:
        for number in range(self._count):
            with self._changed:
                self.begun.append(number)
                self._changed.notify_all()
            record = SimpleNamespace(offset=number, key=None, value=bytes(self._size(number)), headers=[])
            yield Piece(number, number + 1, RecordObjects([record], len(record.value), 0))

    async def have_begun(self, count: int) -> None:
        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: len(self.begun) >= count, DEADLINE_S)

        await asyncio.to_thread(wait)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scenario()

    asyncio.run(bounded())


def read(ahead: ParseAhead, *spans: Iterable[Piece]) -> asyncio.Task[None]:
    async def read_all() -> None:
        for pieces in spans:
            await ahead.parse([(PARTITION, Span(0, 0, []), iter(pieces))])

    return asyncio.ensure_future(read_all())


async def take(ahead: ParseAhead, reader: asyncio.Task[None]) -> Parsed:
    parsed = await ahead.next(reader)
    assert parsed is not None
    return parsed


async def rest(ahead: ParseAhead, reader: asyncio.Task[None]) -> list[int]:
    starts = []
    while (parsed := await ahead.next(reader)) is not None:
        starts.append(parsed.piece.start)
        ahead.done(parsed)
    return starts


def test_everything_comes_once_and_in_order_and_then_the_end() -> None:
    async def scenario() -> None:
        with ParseAhead() as ahead:
            reader = read(ahead, Pieces(50), Pieces(0), Pieces(50))
            assert await rest(ahead, reader) == [*range(50), *range(50)]
            assert await ahead.next(reader) is None

    run(scenario)


def test_no_more_pieces_are_parsed_ahead_than_asked_for() -> None:
    async def scenario() -> None:
        pieces = Pieces(100)
        with ParseAhead(pieces=3) as ahead:
            reader = read(ahead, pieces)
            await pieces.have_begun(3)
            first = await take(ahead, reader)
            assert pieces.begun == [0, 1, 2], "the first one is still held"
            ahead.done(first)
            await pieces.have_begun(4)
            assert [0, *await rest(ahead, reader)] == list(range(100))

    run(scenario)


def test_nothing_more_is_parsed_while_too_many_bytes_wait() -> None:
    async def scenario() -> None:
        pieces = Pieces(12, lambda number: LARGE if number in (0, 5) else 10)
        with ParseAhead(pieces=9, most_bytes=LARGE // 2) as ahead:
            reader = read(ahead, pieces)
            first = await take(ahead, reader)
            assert first.size_bytes > LARGE
            assert pieces.begun == [0], "the large one is still held"
            ahead.done(first)
            await pieces.have_begun(6)
            second = await take(ahead, reader)
            assert pieces.begun == [0, 1, 2, 3, 4, 5], "the sixth is too large for anything to be parsed behind it"
            ahead.done(second)
            assert await rest(ahead, reader) == list(range(2, 12))

    run(scenario)


def test_what_cannot_be_parsed_raises_behind_what_could() -> None:
    def broken() -> Iterator[Piece]:
        yield from Pieces(2)
        raise CorruptRecordException("CRC mismatch")

    async def scenario() -> None:
        with ParseAhead() as ahead:
            reader = read(ahead, broken(), Pieces(1))
            for number in range(2):
                assert (await take(ahead, reader)).piece.start == number
            with pytest.raises(CorruptRecordException, match="CRC"):
                await ahead.next(reader)

    run(scenario)


def test_leaving_ends_the_thread_though_it_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()
    wait = threading.Condition.wait

    def noted(condition: threading.Condition, timeout: float | None = None) -> bool:
        waits.set()
        return wait(condition, timeout)

    async def scenario() -> None:
        with ParseAhead(most_bytes=1) as ahead:
            monkeypatch.setattr(ahead._room, "wait", partial(noted, ahead._room))
            reader = read(ahead, Pieces(3))
            await take(ahead, reader)
            assert await asyncio.to_thread(waits.wait, DEADLINE_S)
        reader.cancel()
        await asyncio.wait([reader])
        (thread,) = ahead._thread._threads
        await asyncio.to_thread(thread.join, DEADLINE_S)
        assert not thread.is_alive()

    run(scenario)
