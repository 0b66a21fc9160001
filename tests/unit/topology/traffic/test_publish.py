"""A file of events on its way to the input: keyed, in order, and counted; the topic is a list."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from schemas.errors import ConfigError
from topology.runtime.progress import Progress
from topology.settings import Settings
from topology.traffic import publish as module_under_test
from topology.traffic.publish import publish

Sent = tuple[bytes | None, bytes]


class Topic:
    """Takes everything but lines that hold `large`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.records: list[Sent] = []
        self.too_large = 0
        self.next_line = 1

        @asynccontextmanager
        async def opened(settings: Settings, topic: str) -> AsyncIterator[Topic]:
            assert topic == settings.topics.module_log_events
            yield self

        patch.setattr(module_under_test, "batch_sender", opened)

    @property
    def acknowledged(self) -> int:
        return len(self.records)

    async def send_numbered(self, records: list[tuple[int, bytes | None, bytes]], read_to: int) -> None:
        fits = [(key, value) for _, key, value in records if b"large" not in value]
        self.records += fits
        self.too_large += len(records) - len(fits)
        self.next_line = read_to

    async def flush(self) -> None:
        """Everything is there at once."""


def test_lines_that_name_no_module_are_sent_without_a_key_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic(monkeypatch)
    lines = [b'{"module_id":"m%d"}' % n if n % 3 else b"no json" for n in range(6_001)]
    done = asyncio.run(publish(Settings(), enumerate(lines, 1), Progress("published", io.StringIO())))
    assert topic.records == [(b"m%d" % n if n % 3 else None, line) for n, line in enumerate(lines)]
    assert (done.records, done.keyless, done.too_large) == (6_001, 2_001, 0)


def test_no_line_at_all_is_nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    Topic(monkeypatch)
    done = asyncio.run(publish(Settings(), [], Progress("published", io.StringIO())))
    assert (done.records, done.keyless, done.too_large) == (0, 0, 0)


def test_a_line_that_is_too_large_is_counted_as_such_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic(monkeypatch)
    lines = [b'{"module_id":"a"}', b'{"module_id":"large"}', b'{"module_id":"b"}']
    done = asyncio.run(publish(Settings(), enumerate(lines, 1), Progress("published", io.StringIO())))
    assert (done.records, done.keyless, done.too_large) == (2, 0, 1)
    assert [key for key, _ in topic.records] == [b"a", b"b"]


def test_a_file_that_cannot_be_read_to_its_end_ends_it_with_that_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines() -> Iterator[tuple[int, bytes]]:
        yield 7, b"{}"
        raise ConfigError("cannot read it")

    topic = Topic(monkeypatch)
    with pytest.raises(
        ConfigError, match=r"cannot read it; 1 records are in the topic, .* go on with --from-line 8"
    ) as told:
        asyncio.run(publish(Settings(), lines(), Progress("published", io.StringIO())))
    assert topic.records == [(None, b"{}")]
    assert told.value.answer["next_line"] == 8


def test_a_line_that_is_wrong_is_not_sent_where_lines_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic(monkeypatch)
    lines = [(number, b"bad" if number % 2 else b"good") for number in range(1, 101)]
    check = {b"bad": "it is bad"}.get
    done = asyncio.run(publish(Settings(), lines, Progress("published", io.StringIO()), check=check))
    assert [value for _, value in topic.records] == [b"good"] * 50
    assert (done.wrong, len(done.problems), done.problems[1]) == (50, 20, (3, "it is bad"))
    assert module_under_test.look_at(lines, check).records == 50
