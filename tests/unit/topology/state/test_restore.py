"""A changelog read to its end: the newest value of every key, and whether it is the one that the commits belong to."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from pipeline.native import Native
from schemas.errors import PartitionsChanged, StateIncompatible, StateLost
from schemas.state import POSITION_KEY, Position, ShellPosition, pack_position
from tests.support.core.cores import fixed
from tests.support.records import wire
from tests.support.records.parsed_records import parsers
from tests.support.records.stored_logs import LogConsumer, StoredLog
from tests.support.records.wire import Rec
from topology.consumer import log_reader
from topology.state.log_position import LogEdges
from topology.state.restore import (
    Restored,
    check_changelog,
    check_partitions,
    partition_counts,
    position_of,
    read_changelog,
)

TP = TopicPartition("changelog", 0)
FIELDS = st.none() | st.sampled_from([b"a", b"b", b"c", b""])
RECORDS = st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=20)


def position(partitions: int = 4, offsets: dict[str, int] | None = None, **shell: Any) -> Position:
    return Position(
        sizes={},
        relative_error=0.01,
        partitions=partitions,
        offsets=offsets or {},
        stream_ms=None,
        ledger={},
        shell=ShellPosition(**shell),
    )


def log_of(*batches: Sequence[tuple[bytes | None, bytes | None]]) -> StoredLog:
    """A transaction of each, with its marker behind it."""
    stored, at = [], 0
    for records in batches:
        stored.append(wire.batch([Rec(at + n, 1, key, value) for n, (key, value) in enumerate(records)]))
        at += len(records) + 1
    return StoredLog(stored, at)


def read(log: StoredLog, edges: LogEdges | None = None, native: Native | None = None) -> Restored:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "SpanConsumer", lambda **options: LogConsumer({TP: log}, **options))
        return asyncio.run(read_changelog({}, TP.topic, TP.partition, edges, native))


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
@fixed(25)
@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_the_newest_value_of_each_key_is_kept_and_deleted_ones_are_not(
    parser: Native | None, batches: list[list[tuple[bytes | None, bytes | None]]]
) -> None:
    expected: dict[bytes, bytes] = {}
    for key, value in [record for records in batches for record in records]:
        if key is not None and value is None:
            expected.pop(key, None)
        elif key is not None and value is not None:
            expected[key] = value
    found = read(log_of(*batches), native=parser)
    assert found.state == expected
    assert (found.begin, found.records) == (0, sum(map(len, batches)))


def test_a_log_is_read_within_the_edges_that_were_asked_after_the_fence() -> None:
    log = log_of([(b"a", b"1")], [(b"b", b"2")], [(b"c", b"3")])
    assert read(log, LogEdges("", 2, 4)).state == {b"b": b"2"}
    assert read(log, LogEdges("", 2, 4)).begin == 2
    assert read(log, LogEdges("", 2, 2)).state == {}


def counts_of(*logs: StoredLog) -> dict[int, int]:
    by_partition = {TopicPartition("changelog", number): log for number, log in enumerate(logs)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "SpanConsumer", lambda **options: LogConsumer(by_partition, **options))
        return asyncio.run(partition_counts({}, "changelog", len(logs)))


@pytest.mark.parametrize("behind", [0, 30, 31, 32, 1_100])
def test_the_newest_position_is_found_however_far_from_the_end_it_lies(behind: int) -> None:
    old, new = pack_position(position(2)), pack_position(position(4))
    log = log_of(
        [(POSITION_KEY, old)],
        [(b"x", b"1")] * 40,
        [(POSITION_KEY, new)],
        *([[(b"barrier", None)] * behind] if behind else []),
    )
    assert counts_of(log) == {0: 4}


def test_tasks_that_never_committed_and_positions_that_cannot_be_read_are_left_out() -> None:
    readable = log_of([(POSITION_KEY, pack_position(position(3)))])
    assert counts_of(StoredLog([], 0), log_of([(b"x", b"1")] * 40), log_of([(POSITION_KEY, b"{}")]), readable) == {3: 3}


def test_state_that_was_made_for_other_partitions_names_the_command_that_moves_it() -> None:
    check_partitions("changelog", {}, 4)
    check_partitions("changelog", {0: 4, 3: 4}, 4)
    with pytest.raises(PartitionsChanged, match="changelog: the state of task 1 was made for 2 partitions") as caught:
        check_partitions("changelog", {0: 4, 5: 8, 1: 2}, 4)
    assert "repartition --partitions 4`" in str(caught.value)
    with pytest.raises(PartitionsChanged, match="repartition --partitions 8`"):
        check_partitions("changelog", {0: 8}, 4)


def test_a_task_that_never_committed_has_no_position_and_a_broken_one_is_told() -> None:
    known = position(4, {"events": 9})
    assert position_of(Restored({POSITION_KEY: pack_position(known)}, 0, 1, 0.0)) is not None
    assert position_of(Restored({b"x": b"1"}, 0, 1, 0.0)) is None
    with pytest.raises(StateIncompatible):
        position_of(Restored({POSITION_KEY: b"{"}, 0, 1, 0.0))


def check(
    where: Position | None, *, begin: int = 0, topic_id: str = "id-1", committed: dict[str, int] | None = None
) -> None:
    check_changelog("3", "changelog", where, begin, topic_id, committed or {})


STATE = position(4, {"events": 9, "repartition": 5}, topic_ids={"changelog": "id-1"}, changelog_begin=7)
OLD = position(4, {"events": 9})


def test_a_whole_changelog_passes() -> None:
    """State may be ahead of a commit, for instance of one that a tool set back."""
    check(STATE, begin=7, committed={"events": 9, "repartition": 4})
    check(STATE, begin=7, topic_id="")
    check(OLD, topic_id="id-5")
    check(None)


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        (STATE, {"begin": 7, "topic_id": "id-2"}, r"made anew \(its id is id-2, the state was begun in id-1\)"),
        (STATE, {"begin": 8}, "begins at offset 8 instead of 7"),
        (STATE, {"begin": 0}, "begins at offset 0 instead of 7"),
        (None, {"begin": 1}, "begins at offset 1 instead of 0"),
        (STATE, {"begin": 7, "committed": {"events": 10}}, "ends at offset 9 of events, but the group committed 10"),
        (STATE, {"begin": 7, "committed": {"other": 0}}, "ends at offset none of other, but the group committed 0"),
        (None, {"committed": {"events": 1}}, "ends at offset none of events, but the group committed 1"),
    ],
)
def test_lost_state_is_said_with_its_cause_and_the_way_out(
    where: Position | None, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(StateLost, match=said) as caught:
        check(where, **change)
    assert str(caught.value).startswith("task 3: ")
    assert "`modpulse run --accept-state-loss 3`" in str(caught.value)


def test_a_log_made_anew_is_called_that_whatever_else_is_missing() -> None:
    """The other messages would send an operator to look for retention."""
    with pytest.raises(StateLost, match="deleted and made anew"):
        check(STATE, begin=0, topic_id="id-2", committed={"events": 10})
