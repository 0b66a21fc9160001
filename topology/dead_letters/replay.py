"""Send letters back to the input, each at most once however often it is tried, killed or run twice at a time.

What was sent and that it was sent are written in one Kafka transaction: the records on the input topic, and the marks
(`topology.dead_letters.replayed`) on a compacted topic of the application. A run first opens its transactional producer, which
aborts what a killed run had begun and fences one that still goes, and only then reads the marks: they are final by then.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from pipeline.outputs import Header
from schemas.errors import BrokerUnavailable, TaskFenced
from topology.dead_letters.reader import LetterReader, letter_reader
from topology.dead_letters.record import UNKNOWN, Letter, LetterFilter
from topology.dead_letters.replayed import ReplayedLetters, packed
from topology.kafka.client import broker_errors, client_options
from topology.kafka.existing_topics import require_topics
from topology.producer.event_key import partition_for
from topology.producer.transaction import FENCED
from topology.records.decompress import LZ4
from topology.records.outgoing import Record, batches_of
from topology.runtime.progress import Progress
from topology.settings import Settings
from topology.state.restore import read_changelog

log = structlog.get_logger()

REPLAYED_FROM = "modpulse.replayed.from"
TRUNCATED = "truncated"
TOO_LARGE = "too large for the input topic"
FOREIGN = "not a letter of ours"
WHOLE_BATCH = "stands for a whole batch, which was refused as one"

# A transaction: readers of the input wait for its end, so it is short, and its batches are kept in memory.
CHUNK_LETTERS = 500
CHUNK_BYTES = 4 << 20
# Below the 1 MiB a batch of the input topic may have (topology/kafka/wanted_topics.py).
BATCH_BYTES = 500_000
# A killed run leaves a transaction open, and every reader of the input waits behind it for as long as this.
TRANSACTION_TIMEOUT_MS = 15_000
CLOSE_TIMEOUT_S = 5.0
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What to replay and how.

    Attributes:
        topic: the letters' topic.
        wanted: which of its letters.
        limit: at most so many; None means all.
        rate: at most so many a second; None means as fast as it goes.
        again: those that were replayed before, too.
        dry_run: only say what would be sent; writes and fences nothing.
    """

    topic: str
    wanted: LetterFilter
    limit: int | None = None
    rate: float | None = None
    again: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Replayed:
    """Where every letter read ended: read = sent + already_replayed + filtered + those unsendable.

    Attributes:
        sent: committed to the input; in a dry run those that would be sent.
        already_replayed: sent by an earlier run.
        filtered: not asked for.
        unsendable: why -> how many can never be sent as they came in.
        sent_by_reason, already_by_reason: reason -> how many of the above.
        seconds: how long it took.
    """

    read: int = 0
    sent: int = 0
    already_replayed: int = 0
    filtered: int = 0
    unsendable: Counter[str] = field(default_factory=Counter)
    sent_by_reason: Counter[str] = field(default_factory=Counter)
    already_by_reason: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


async def replay(settings: Settings, order: ReplayOrder, progress: Progress) -> Replayed:
    """Send the letters that are on the topic now to the input, once each; what is counted as sent is committed.

    Ended at any point, by whatever, it can be run again: nothing is sent twice and nothing is left out.

    Raises:
        ConfigError: a topic is missing.
        BrokerUnavailable: no broker answers, it went away, or it did not do what it was asked.
        TaskFenced: another replay of this application began; it goes on from what this one committed.
        StateIncompatible: a newer build wrote the marks.
    """
    names = [settings.topics.module_log_events, settings.replayed_topic, order.topic]
    partitions = (await require_topics(settings, names))[settings.topics.module_log_events]
    run = _Run(order, _Outlet(settings, partitions, dry_run=order.dry_run), progress)
    try:
        async with broker_errors(settings), letter_reader(settings, order.topic) as reader:
            await run.go(reader)
    except KafkaError as error:
        raise BrokerUnavailable(
            f"the broker did not do what it was asked ({error!r}); run it again, nothing is sent twice"
        ) from error
    run.done.seconds = progress.seconds
    return run.done


class _Run:
    """One pass over the letters: decides which are sent, and counts where each one ended."""

    def __init__(self, order: ReplayOrder, outlet: "_Outlet", progress: Progress) -> None:
        self._order = order
        self._outlet = outlet
        self._progress = progress
        self._marks = ReplayedLetters()
        self._chunk: list[Letter] = []
        self._chunk_bytes = 0
        # With a rate, a second's worth: the pause is made between transactions, never inside one.
        self._chunk_letters = min(CHUNK_LETTERS, max(1, int(order.rate or CHUNK_LETTERS)))
        self._began = time.monotonic()
        self.done = Replayed()

    async def go(self, reader: LetterReader) -> None:
        try:
            self._marks = await self._outlet.open()
            if outlived := self._marks.outlived(self._order.topic, reader.begins):
                await self._outlet.commit([], dict.fromkeys(chunk.key for chunk in outlived))
                self._marks.forget(outlived)
            await self._go(reader)
            await self._send()
        finally:
            await self._outlet.close()

    async def _go(self, reader: LetterReader) -> None:
        limit = self._order.limit
        async with aclosing(reader.letters()) as letters:
            async for letter in letters:
                if limit is not None and self.done.sent + len(self._chunk) >= limit:
                    # One of the chunk may turn out to be too large; then there is room for this one.
                    await self._send()
                    if self.done.sent >= limit:
                        return
                self._progress.reached(reader.read)
                await self._take(letter)

    async def _take(self, letter: Letter) -> None:
        done = self.done
        done.read += 1
        if not self._order.wanted.admits(letter):
            done.filtered += 1
        elif letter.reason == UNKNOWN:
            done.unsendable[FOREIGN] += 1
        elif letter.batch is not None:
            done.unsendable[WHOLE_BATCH] += 1
        elif letter.truncated:
            done.unsendable[TRUNCATED] += 1
        elif self._is_done(letter):
            self._count_as_done(letter)
        else:
            if self._chunk_bytes + letter.size_bytes > CHUNK_BYTES or letter.size_bytes > BATCH_BYTES:
                # One that may be refused goes alone, so that it takes no others with it.
                await self._send()
            self._chunk.append(letter)
            self._chunk_bytes += letter.size_bytes
            if len(self._chunk) >= self._chunk_letters or letter.size_bytes > BATCH_BYTES:
                await self._send()

    def _is_done(self, letter: Letter) -> bool:
        return letter in self._marks and not self._order.again

    def _count_as_done(self, letter: Letter) -> None:
        self.done.already_replayed += 1
        self.done.already_by_reason[letter.reason] += 1

    async def _send(self) -> None:
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        if not chunk:
            return
        await self._commit(chunk)
        if self._order.rate and not self._order.dry_run:
            due = self._began + self.done.sent / self._order.rate
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _commit(self, letters: Sequence[Letter]) -> None:
        """Send letters and their marks in one transaction; those that are too large are found by halving."""
        if not letters:
            return
        changed = self._marks.marked(letters)
        try:
            await self._outlet.commit(letters, {chunk.key: packed(marks) for chunk, marks in changed.items()})
        except _TOO_LARGE:
            await self._outlet.close()
            self._marks = await self._outlet.open()
            if len(letters) == 1:
                self.done.unsendable[TOO_LARGE] += 1
                return
            half = len(letters) // 2
            await self._commit(self._left(letters[:half]))
            await self._commit(self._left(letters[half:]))
            return
        self._marks.adopt(changed)
        self.done.sent += len(letters)
        self.done.sent_by_reason.update(letter.reason for letter in letters)

    def _left(self, letters: Sequence[Letter]) -> list[Letter]:
        """Those that nobody sent meanwhile: between two producers of ours another run may have had its turn."""
        for letter in letters:
            if self._is_done(letter):
                self._count_as_done(letter)
        return [letter for letter in letters if not self._is_done(letter)]


class _Outlet:
    """The transactional producer of the application's replays. In a dry run it writes and fences nothing."""

    def __init__(self, settings: Settings, partitions: int, *, dry_run: bool) -> None:
        self._settings = settings
        self._options = client_options(settings)
        self._partitions = partitions
        self._dry_run = dry_run
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> ReplayedLetters:
        """Fence every other run, abort what it had begun, and read what was replayed until then.

        To be called again after a batch was refused: aiokafka has counted its sequence numbers, the broker has not.
        """
        if not self._dry_run:
            self._producer = AIOKafkaProducer(
                **self._options,
                transactional_id=self._settings.replay_transactional_id,
                transaction_timeout_ms=min(self._settings.kafka.transaction_timeout, TRANSACTION_TIMEOUT_MS),
                linger_ms=0,
            )
            # aiokafka's start returns before the producer id is initialised; an empty transaction waits for it.
            await self._producer.start()
            await self._producer.begin_transaction()
            await self._producer.abort_transaction()
        restored = await read_changelog(self._options, self._settings.replayed_topic, 0)
        return ReplayedLetters(restored.state)

    async def close(self) -> None:
        """Disconnect; a broker that is away must not keep the process, nor hide what went wrong."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await producer.stop()
        except (KafkaError, OSError, RuntimeError, TimeoutError) as error:
            log.warning("producer did not close in order", error=repr(error))

    async def commit(self, letters: Sequence[Letter], marks: Mapping[bytes, bytes | None]) -> None:
        """Write letters and marks, all or none.

        Raises:
            TaskFenced: another run has begun.
            MessageSizeTooLargeError, RecordListTooLargeError: a letter does not fit in a batch of the input topic.
                Nothing was written, and nothing more can be before the next `open`.
        """
        if self._producer is None:
            return
        by_partition: dict[int, list[Record]] = {}
        for letter in letters:
            by_partition.setdefault(self._target(letter), []).append(Record(letter.key, letter.value, _headers(letter)))
        topic = self._settings.topics.module_log_events
        try:
            async with self._producer.transaction():
                pending: list[asyncio.Future[Any]] = []
                for partition, records in by_partition.items():
                    pending += await self._append(topic, partition, records)
                said = [Record(key, value) for key, value in marks.items()]
                pending += await self._append(self._settings.replayed_topic, 0, said)
                await asyncio.gather(*pending)
        except FENCED as error:
            raise TaskFenced(
                "another `modpulse dlq replay` of this application began; it goes on from what this one committed"
            ) from error

    def _target(self, letter: Letter) -> int:
        """Where the record was read before: its module's other events are there, whoever chose the partition.

        A record read from the repartition topic was on the partition its module belongs to, which has the same number here.
        """
        origin = letter.origin
        ours = (self._settings.topics.module_log_events, self._settings.repartition_topic)
        if origin is not None and origin.topic in ours and 0 <= origin.partition < self._partitions:
            return origin.partition
        return partition_for(letter.key, self._partitions)

    async def _append(self, topic: str, partition: int, records: Sequence[Record]) -> list[asyncio.Future[Any]]:
        """Send records to one partition in as few batches as fit; order is kept.

        They get the time of now, not the one they came with: retention counts from it, and the letter may be older than that
        allows.
        """
        producer = self._producer
        assert producer is not None
        return [
            await producer.send_batch(batch, topic, partition=partition)
            for batch in batches_of(records, BATCH_BYTES, codec=LZ4)
        ]


def _headers(letter: Letter) -> list[Header]:
    place = f"{letter.topic}/{letter.partition}/{letter.offset}"
    return [*letter.own_headers, (REPLAYED_FROM, place.encode())]
