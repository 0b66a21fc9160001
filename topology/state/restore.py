"""Read a task's changelog partition to its end, and check the result against what the group committed."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from pipeline.native import Native
from schemas.errors import PartitionsChanged, StateIncompatible, StateLost
from schemas.state import POSITION_KEY, Position, ShellPosition, unpack_position
from topology.consumer.fetch import Piece, Span, SpanConsumer
from topology.consumer.log_reader import log_reader, spans_between
from topology.state.log_position import LogEdges

# A restore holds up to three fetches beside the state; a flush's batches are smaller, and what is larger still comes through.
FETCH_BYTES = 4 << 20
# The last records of a changelog among which its position is looked for, and by how much more each time.
TAIL_RECORDS = 32
PIECE_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Restored:
    """What a changelog partition holds.

    Attributes:
        state: the newest value of every key that was not deleted.
        begin: first offset of the log; above 0 records were deleted, for compaction alone never moves it.
        records: how many records were read for it.
        seconds: how long that took.
    """

    state: dict[bytes, bytes]
    begin: int
    records: int
    seconds: float


async def read_changelog(
    options: Mapping[str, Any], topic: str, partition: int, log: LogEdges | None = None, native: Native | None = None
) -> Restored:
    """Read a partition from its beginning to its end, committed records only.

    Call it after the task's producer has fenced its predecessors: then no transaction is open and the end is final. Records are
    parsed in a thread, so that the worker's other tasks go on meanwhile.

    Args:
        options: of the client.
        topic: the changelog.
        partition: of the task.
        log: where it begins and ends, asked of the broker after the fence; None: to be asked here.
        native: the compiled part, where it is in use.

    Raises:
        BrokerUnavailable: no progress for a minute.
    """
    began = time.monotonic()
    tp = TopicPartition(topic, partition)
    if log is not None and log.begin == log.end:
        return Restored({}, log.begin, 0, time.monotonic() - began)
    state: dict[bytes, bytes] = {}
    records = 0
    async with log_reader(options, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES) as consumer:
        if log is None:
            begin, end = await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])
            log = LogEdges("", begin[tp], end[tp])
        async with aclosing(spans_between(consumer, tp, log.begin, log.end)) as spans:
            async for span in spans:
                records += await asyncio.to_thread(_take, state, span, native)
    return Restored(state, log.begin, records, time.monotonic() - began)


async def partition_counts(options: Mapping[str, Any], topic: str, partitions: int) -> dict[int, int]:
    """For how many partitions the state of each task was made, by partition.

    A position is the last record of each transaction, so only the ends of the logs are read. Tasks that never committed are
    left out, and so are those whose position cannot be read: they say so themselves.
    """
    found: dict[int, int] = {}
    async with log_reader(options) as consumer:
        all_of_them = [TopicPartition(topic, number) for number in range(partitions)]
        begins, ends = await consumer.beginning_offsets(all_of_them), await consumer.end_offsets(all_of_them)
        for tp in all_of_them:
            last = TAIL_RECORDS
            while begins[tp] < ends[tp]:
                begin = max(begins[tp], ends[tp] - last)
                value = await _newest_position(consumer, tp, begin, ends[tp])
                if value is not None:
                    with contextlib.suppress(StateIncompatible):
                        found[tp.partition] = unpack_position(value).partitions
                if value is not None or begin == begins[tp]:
                    break
                last *= TAIL_RECORDS
    return found


async def _newest_position(consumer: SpanConsumer, tp: TopicPartition, begin: int, end: int) -> bytes | None:
    """The last position record of [begin, end)."""
    newest: bytes | None = None
    async with aclosing(spans_between(consumer, tp, begin, end)) as spans:
        async for span in spans:
            for piece in span.pieces(PIECE_RECORDS):
                for key, value in zip(piece.keys, piece.values, strict=True):
                    newest = value if key == POSITION_KEY else newest
    return newest


def check_partitions(topic: str, made_for: Mapping[int, int], partitions: int) -> None:
    """All tasks must have been made for the partitions that there are: else modules may live, and be counted, in two places.

    Args:
        topic: the changelog.
        made_for: for how many partitions the state of each task was made, by partition.
        partitions: that there are.

    Raises:
        PartitionsChanged: some were not.
    """
    others = {number: count for number, count in made_for.items() if count != partitions}
    if others:
        number, count = min(others.items())
        raise PartitionsChanged(
            f"{topic}: the state of task {number} was made for {count} partitions of the input, and there are {partitions}, so"
            " modules may have moved. Stop all workers and run"
            f" `modpulse state repartition --partitions {max(count, partitions)}`, which moves the state of each module to its"
            " partition"
        )


def _take(state: dict[bytes, bytes], span: Span, native: Native | None) -> int:
    """Put a span's records into the state; answers how many they were."""
    return sum(_take_piece(state, piece) for piece in span.pieces(PIECE_RECORDS, native))


def _take_piece(state: dict[bytes, bytes], piece: Piece) -> int:
    keys, values = list(piece.keys), list(piece.values)
    if None not in values and None not in keys:
        state.update(zip(keys, values, strict=True))  # type: ignore[arg-type]
        return len(keys)
    for key, value in zip(keys, values, strict=True):
        if key is None:
            continue
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return len(keys)


def position_of(restored: Restored) -> Position | None:
    """Where the task stood; None where it never committed.

    Raises:
        StateIncompatible: the position cannot be read.
    """
    found = restored.state.get(POSITION_KEY)
    return None if found is None else unpack_position(found)


def check_changelog(
    task: str, topic: str, position: Position | None, begin: int, topic_id: str, committed: Mapping[str, int]
) -> None:
    """See whether a changelog is whole and the one that the group's commits belong to.

    To be called before windows are looked at: what is missing in a log that was cut or made anew need not fit together.

    Args:
        task: its name, for the message.
        topic: the changelog.
        position: the task's, see `position_of`.
        begin: where the log begins.
        topic_id: the broker's id of the topic; empty when it does not tell.
        committed: what the group committed, by source; sources without a commit are left out.

    Raises:
        StateLost: it is not.
    """
    shell = ShellPosition() if position is None else position.shell
    offsets = {} if position is None else position.offsets
    _check_not_made_anew(task, topic, shell.topic_ids.get(topic, ""), topic_id)
    _check_not_cut(task, topic, begin, shell.changelog_begin)
    for source, offset in committed.items():
        _check_not_behind(task, source, offsets.get(source), offset)


def _check_not_made_anew(task: str, changelog: str, known_id: str, topic_id: str) -> None:
    """A changelog that was deleted and made anew holds only what was written since.

    Raises:
        StateLost: the topic is not the one the position was written to.
    """
    if known_id and topic_id and known_id != topic_id:
        raise StateLost(
            f"task {task}: {changelog} was deleted and made anew (its id is {topic_id}, the state was begun in {known_id}), so"
            " windows are missing. Restore it, or start once with `modpulse run --accept-state-loss"
            f" {task}`, which reads on from the commit with empty windows"
        )


def _check_not_cut(task: str, changelog: str, begin: int, known_begin: int) -> None:
    """A changelog is compacted, never cut: one that begins later than it did has lost windows nobody would miss.

    Raises:
        StateLost: records were deleted from its head.
    """
    if begin != known_begin:
        raise StateLost(
            f"task {task}: {changelog} begins at offset {begin} instead of {known_begin}: records were deleted from its head,"
            " by retention (its cleanup.policy must be `compact` alone) or by hand. Restore it, or start once with"
            f" `modpulse run --accept-state-loss {task}`, which reads on from the commit with empty windows"
        )


def _check_not_behind(task: str, topic: str, restored: int | None, committed: int) -> None:
    """Position and commit are written in one transaction, so a position behind the commit means lost state.

    Raises:
        StateLost: the changelog does not reach as far as the group committed.
    """
    if restored is None or restored < committed:
        raise StateLost(
            f"task {task}: the changelog ends at offset {restored if restored is not None else 'none'} of {topic}, but the"
            f" group committed {committed}: the changelog was truncated or deleted. Restore it, or start once with"
            f" `modpulse run --accept-state-loss {task}`, which reads on from the commit with empty windows"
        )
