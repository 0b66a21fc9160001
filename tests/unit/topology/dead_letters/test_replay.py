"""Which letters a replay sends, where it counts each, and what it writes; the broker is a list of transactions."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import TaskFenced
from tests.support.core.cores import fixed
from tests.support.records.letters import letter, said
from tests.truth import partition_of
from topology.dead_letters import replay as module_under_test
from topology.dead_letters.record import BatchPlace, Letter, LetterFilter, Origin
from topology.dead_letters.replay import (
    BATCH_BYTES,
    CHUNK_BYTES,
    FOREIGN,
    REPLAYED_FROM,
    TOO_LARGE,
    TRUNCATED,
    WHOLE_BATCH,
    Replayed,
    ReplayOrder,
    _headers,
    _Outlet,
    _Run,
)
from topology.dead_letters.replayed import CHUNK_OFFSETS, Chunk, ReplayedLetters, packed
from topology.runtime.progress import Progress
from topology.settings import Settings

SETTINGS = Settings()
ALL = LetterFilter()


class Broker:
    """Takes transactions of letters and marks.

    Attributes:
        largest: it refuses every batch with a larger letter, and everything after it until the producer is made anew.
        dies_after: so many transactions later the run is killed.
        others: what another run commits after a refusal, before the producer is made anew.
    """

    def __init__(self, largest: int = 1 << 30, dies_after: int = 1 << 30) -> None:
        self.largest = largest
        self.dies_after = dies_after
        self.others: list[Letter] = []
        self.transactions: list[list[Letter]] = []
        self.marks: dict[bytes, bytes] = {}
        self._usable = False

    @property
    def sent(self) -> list[Letter]:
        return [one for transaction in self.transactions for one in transaction]

    async def open(self) -> ReplayedLetters:
        self._usable = True
        return ReplayedLetters(self.marks)

    async def close(self) -> None:
        self._usable = False

    async def commit(self, letters: Sequence[Letter], marks: Mapping[bytes, bytes | None]) -> None:
        assert self._usable
        if any(one.size_bytes > self.largest for one in letters):
            self._usable = False
            changed = ReplayedLetters(self.marks).marked(self.others)
            self.marks |= {chunk.key: packed(values) for chunk, values in changed.items()}
            raise MessageSizeTooLargeError
        if self.dies_after == len(self.transactions):
            raise TaskFenced("killed")
        self.transactions.append(list(letters))
        for key, value in marks.items():
            if value is None:
                self.marks.pop(key, None)
            else:
                self.marks[key] = value


def replayed(broker: Any, letters: Sequence[Letter], begins: dict[int, int] | None = None, **order: Any) -> Replayed:
    async def found() -> AsyncGenerator[Letter, None]:
        for one in letters:
            yield one

    reader: Any = SimpleNamespace(letters=found, begins=begins or {}, read=0)
    run = _Run(ReplayOrder("dlq", **{"wanted": ALL, **order}), broker, Progress("replayed", io.StringIO()))
    asyncio.run(run.go(reader))
    return run.done


def large(offset: int, size_bytes: int) -> Letter:
    return replace(letter(offset), value_bytes=size_bytes)


KINDS = st.sampled_from(["good", "filtered", "foreign", "batch", "cut", "large"])


def of_kind(kind: str, offset: int) -> Letter:
    one = letter(offset)
    changes: dict[str, dict[str, Any]] = {
        "filtered": {"reason": "late"},
        "foreign": {"reason": "unknown"},
        "batch": {"batch": BatchPlace(1, 2, 2)},
        "cut": {"truncated": "value=10"},
        "large": {"value_bytes": 5_000},
    }
    return replace(one, **changes.get(kind, {}))


@fixed(60)
@given(st.lists(KINDS, max_size=40), st.integers(0, 5), st.integers(1, 7))
def test_a_replay_that_was_killed_goes_on_and_every_letter_is_counted_in_one_place(
    kinds: list[str], dies_after: int, chunk: int
) -> None:
    letters = [of_kind(kind, offset) for offset, kind in enumerate(kinds)]
    wanted = LetterFilter(frozenset({"invalid", "unknown"}))
    broker = Broker(largest=1_000, dies_after=dies_after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_under_test, "CHUNK_LETTERS", chunk)
        try:
            replayed(broker, letters, wanted=wanted)
        except TaskFenced:
            broker.dies_after = 1 << 30
        before = len(broker.sent)
        done = replayed(broker, letters, wanted=wanted)
        again = replayed(broker, letters, wanted=wanted)
    count = Counter(kinds)
    assert [one.offset for one in broker.sent] == [offset for offset, kind in enumerate(kinds) if kind == "good"]
    assert (done.read, done.filtered) == (len(kinds), count["filtered"])
    assert (done.already_replayed, done.sent) == (before, count["good"] - before)
    unsendable = {FOREIGN: "foreign", WHOLE_BATCH: "batch", TRUNCATED: "cut", TOO_LARGE: "large"}
    assert done.unsendable == Counter({why: count[kind] for why, kind in unsendable.items() if count[kind]})
    assert (again.sent, again.already_replayed) == (0, count["good"])


def test_a_limit_counts_what_was_sent_and_not_what_turned_out_to_be_too_large() -> None:
    letters = [large(0, 5_000), letter(1), large(2, 5_000), letter(3), letter(4)]
    broker = Broker(largest=1_000)
    done = replayed(broker, letters, limit=2)
    assert (done.sent, [one.offset for one in broker.sent], done.unsendable) == (2, [1, 3], {TOO_LARGE: 2})
    assert replayed(Broker(), [letter(n) for n in range(5)], limit=0).sent == 0
    assert replayed(Broker(), [letter(n) for n in range(5)], limit=9).sent == 5


def test_what_was_sent_before_is_sent_once_more_only_when_it_is_asked_for() -> None:
    broker = Broker()
    letters = [replace(letter(n), reason=reason) for n, reason in enumerate(["invalid", "late", "late"])]
    done = replayed(broker, letters)
    assert dict(done.sent_by_reason) == {"invalid": 1, "late": 2}
    done = replayed(broker, letters)
    assert (done.sent, dict(done.already_by_reason)) == (0, {"invalid": 1, "late": 2})
    assert replayed(broker, letters, again=True).sent == 3


def test_a_transaction_is_bounded_and_one_that_may_be_refused_goes_alone() -> None:
    broker = Broker()
    huge = BATCH_BYTES + 1
    replayed(broker, [letter(0), large(1, huge), letter(2), letter(3)])
    assert [[one.offset for one in transaction] for transaction in broker.transactions] == [[0], [1], [2, 3]]
    broker = Broker()
    replayed(broker, [large(n, BATCH_BYTES // 2) for n in range(60)])
    sizes = [sum(one.size_bytes for one in transaction) for transaction in broker.transactions]
    assert max(sizes) <= CHUNK_BYTES
    assert len(sizes) < 6


def test_what_another_run_sent_between_two_producers_is_not_sent_again() -> None:
    broker = Broker(largest=1_000)
    letters = [letter(0), letter(1), large(2, 5_000), letter(3)]
    broker.others = [letters[1], letters[3]]
    done = replayed(broker, letters)
    assert [one.offset for one in broker.sent] == [0]
    assert (done.sent, done.already_replayed, done.unsendable) == (1, 2, {TOO_LARGE: 1})


def test_with_a_rate_the_pause_is_made_between_transactions_of_a_seconds_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    broker = Broker()
    replayed(broker, [letter(n) for n in range(5)], rate=2.0)
    assert [len(transaction) for transaction in broker.transactions] == [2, 2, 1]
    assert waits == pytest.approx([1.0, 2.0, 2.5], abs=0.2), "no time passes here, so each counts from the beginning"
    replayed(broker, [letter(n + 10) for n in range(2)], rate=0.1)
    assert [len(transaction) for transaction in broker.transactions][3:] == [1, 1]


def test_marks_of_letters_that_retention_deleted_are_deleted_too() -> None:
    broker = Broker()
    replayed(broker, [letter(5), letter(CHUNK_OFFSETS + 5)])
    replayed(broker, [], begins={0: CHUNK_OFFSETS})
    assert broker.marks.keys() == {Chunk("dlq", 0, 1).key}


def test_a_dry_run_counts_what_would_be_sent_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {chunk.key: packed(values) for chunk, values in ReplayedLetters().marked([letter(0)]).items()}

    async def read(*_: object) -> Any:
        return SimpleNamespace(state=marks)

    monkeypatch.setattr(module_under_test, "read_changelog", read)
    outlet = _Outlet(SETTINGS, 4, dry_run=True)
    done = replayed(outlet, [letter(0), letter(1), letter(2)], dry_run=True, rate=0.001)
    assert (done.already_replayed, done.sent) == (1, 2)


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        (Origin(SETTINGS.topics.module_log_events, 2, 7, 900), 2),
        (Origin(SETTINGS.repartition_topic, 3, 7, 900), 3),
        (Origin(SETTINGS.topics.module_log_events, 5, 7, 900), None),
        (Origin(SETTINGS.topics.module_log_events, -1, 7, 900), None),
        (Origin("another", 2, 7, 900), None),
        (None, None),
    ],
)
def test_a_letter_goes_where_it_was_read_and_else_where_its_key_belongs(
    origin: Origin | None, target: int | None
) -> None:
    outlet = _Outlet(SETTINGS, 5, dry_run=True)
    found = outlet._target(replace(letter(), key=b"shop-1", origin=origin))
    assert found == (partition_of("shop-1", 5) if target is None else target)


def test_a_letter_goes_back_with_the_headers_it_came_in_with_and_the_place_it_had() -> None:
    one = replace(letter(7, partition=2), headers=(("trace", b"\xff"), ("trace", None), *said()))
    assert _headers(one) == [("trace", b"\xff"), ("trace", None), (REPLAYED_FROM, b"dlq/2/7")]
