"""The dead-letter and late topics as their readers see them: every committed letter, why it is there, where it came from.

Partition by partition from the beginning to the end as it was when asked, one fetch in memory at a time, so neither the size
of the topic nor who writes to it meanwhile matters. Records without our headers (anybody may write to a topic) are letters of
reason `unknown`; nothing here changes a topic.
"""

import heapq
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.outputs import Header
from schemas.errors import BrokerUnavailable
from schemas.export import REASONS
from topology.existing_topics import require_topics
from topology.kafka_client import broker_errors
from topology.live_feed import read_committed_consumer
from topology.progress import Progress
from topology.settings import Settings

ERROR_HEADERS = "modpulse.errors."
UNKNOWN = "unknown"
DEAD_REASONS = tuple(reason for reason in REASONS if reason != "late")

_FETCH_WAIT_MS = 500
_FETCH_RECORDS = 2_000
_STALL_TIMEOUT_S = 60.0
# Header texts are whatever the writer of the record chose: what is kept of them is bounded.
_MAX_MESSAGE_CHARS = 1_000
_MAX_ORIGINS = 1_000
_OTHER_ORIGINS = "(others)"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the record behind a letter was read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One late or dead letter.

    Attributes:
        topic, partition, offset: where the letter itself is.
        timestamp_ms: the Kafka timestamp, which is that of the record behind it.
        key, value, headers: as they are on the topic.
        reason: one of the contract's reasons, or `unknown`.
        message: what is wrong with it, for people.
        origin: None where the headers do not say.
        truncated: whether the value is only the beginning of what came in.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    reason: str
    message: str
    origin: Origin | None
    truncated: bool

    @property
    def own_headers(self) -> tuple[Header, ...]:
        """The headers it came in with: all but ours."""
        return tuple(header for header in self.headers if not header[0].startswith(ERROR_HEADERS))

    @property
    def size_bytes(self) -> int:
        """Key and value."""
        return len(self.key or b"") + len(self.value or b"")


def letter_of(topic: str, partition: int, record: Any) -> Letter:
    """A fetched record as a letter. Of headers that come twice the last counts: the worker's follow the sender's."""
    headers = tuple((name, value) for name, value in record.headers)
    said = {name[len(ERROR_HEADERS) :]: value or b"" for name, value in headers if name.startswith(ERROR_HEADERS)}
    reason = _text(said.get("reason", b""))
    return Letter(
        topic,
        partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        headers,
        reason if reason in REASONS else UNKNOWN,
        _text(said.get("message", b""))[:_MAX_MESSAGE_CHARS],
        _origin(said),
        "truncated" in said,
    )


def _origin(said: dict[str, bytes]) -> Origin | None:
    topic = _text(said.get("topic", b""))
    numbers = [_number(said.get(name, b"")) for name in ("partition", "offset", "timestamp")]
    partition, offset, timestamp_ms = numbers
    if not topic or partition is None or offset is None or timestamp_ms is None:
        return None
    return Origin(topic, partition, offset, timestamp_ms)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _number(data: bytes) -> int | None:
    # A header is as long as its writer liked; int() of many digits is slow, and refused beyond 4,300 of them.
    digits = data.removeprefix(b"-")
    return int(data) if len(digits) < 20 and digits.isdigit() else None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; what is not given admits all.

    Attributes:
        reasons: any of these.
        since_ms: not older than this.
        key: the record key, byte for byte.
    """

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    key: bytes | None = None

    def admits(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.key is None or letter.key == self.key)
        )


@dataclass(slots=True)
class Overview:
    """Counts of all letters taken in, and the newest of them.

    Attributes:
        keep: how many of the newest to keep.
        letters: how many were taken in.
        reasons: letters by reason.
        origins: letters by the topic their record was read from; topics beyond a thousand count together.
    """

    keep: int
    letters: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    _newest: list[tuple[int, int, Letter]] = field(default_factory=list)

    def take(self, letter: Letter) -> None:
        """Count a letter, and keep it while it is one of the newest."""
        self.letters += 1
        self.reasons[letter.reason] += 1
        origin = UNKNOWN if letter.origin is None else letter.origin.topic
        known = origin in self.origins or len(self.origins) < _MAX_ORIGINS
        self.origins[origin if known else _OTHER_ORIGINS] += 1
        entry = (letter.timestamp_ms, self.letters, letter)
        if len(self._newest) < self.keep:
            heapq.heappush(self._newest, entry)
        elif self.keep:
            heapq.heappushpop(self._newest, entry)

    @property
    def newest(self) -> list[Letter]:
        """The newest letters, the newest first; of one time those read later come first."""
        return [letter for _, _, letter in sorted(self._newest, key=lambda entry: entry[:2], reverse=True)]


class LetterReader:
    """Reads a topic once, from its first record to the end as it was when `letters` was called.

    Attributes:
        begins: the first offset of each partition that still exists.
        read: records read so far.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], begins: dict[int, int]
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self.begins = begins
        self.read = 0

    async def letters(self) -> AsyncGenerator[Letter, None]:
        """Every letter, partition by partition in the order of its offsets.

        Raises:
            BrokerUnavailable: nothing came for a minute.
        """
        ends = await self._consumer.end_offsets(list(self._partitions))
        for partition in self._partitions:
            async for letter in self._partition(partition, ends[partition]):
                self.read += 1
                yield letter

    async def _partition(self, partition: TopicPartition, end: int) -> AsyncGenerator[Letter, None]:
        consumer = self._consumer
        consumer.assign([partition])
        consumer.seek(partition, self.begins[partition.partition])
        progress = time.monotonic()
        while (position := await consumer.position(partition)) < end:
            found = await consumer.getmany(partition, timeout_ms=_FETCH_WAIT_MS, max_records=_FETCH_RECORDS)
            for record in found.get(partition, ()):
                if record.offset >= end:
                    return
                yield letter_of(partition.topic, partition.partition, record)
            # Markers of transactions move the position too, without a record.
            if await consumer.position(partition) > position:
                progress = time.monotonic()
            elif time.monotonic() - progress > _STALL_TIMEOUT_S:
                raise BrokerUnavailable(
                    f"{partition.topic}/{partition.partition}: nothing came for {_STALL_TIMEOUT_S:.0f} s before offset {end}"
                )


@asynccontextmanager
async def letter_reader(settings: Settings, topic: str) -> AsyncIterator[LetterReader]:
    """A reader of the dead-letter or the late topic, without a group; committed records only.

    Raises:
        ConfigError: the topic is missing.
        BrokerUnavailable: no broker answers.
    """
    count = (await require_topics(settings, [topic]))[topic]
    partitions = [TopicPartition(topic, number) for number in range(count)]
    async with broker_errors(settings):
        consumer = read_committed_consumer(settings)
        try:
            await consumer.start()
            begins = await consumer.beginning_offsets(partitions)
            yield LetterReader(consumer, partitions, {tp.partition: offset for tp, offset in begins.items()})
        finally:
            await consumer.stop()


async def overview(settings: Settings, topic: str, wanted: LetterFilter, keep: int, progress: Progress) -> Overview:
    """Count what is on a topic and keep its newest letters.

    Raises:
        ConfigError: the topic is missing.
        BrokerUnavailable: no broker answers.
    """
    found = Overview(keep)
    async with letter_reader(settings, topic) as reader, aclosing(reader.letters()) as letters:
        async for letter in letters:
            progress.reached(reader.read)
            if wanted.admits(letter):
                found.take(letter)
    return found
