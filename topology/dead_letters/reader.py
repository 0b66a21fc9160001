"""Reads the dead-letter or the late topic: every committed letter, whatever anybody put there.

Partition by partition from the beginning to the end as it was when asked, one fetch in memory at a time, so neither the size
of the topic nor who writes to it meanwhile matters. It is read as the worker reads its input, so no record can end it. Nothing
here changes a topic.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from aiokafka import TopicPartition

from pipeline.native import load_native
from topology.consumer.fetch import SpanConsumer
from topology.consumer.log_reader import log_reader, spans_between
from topology.dead_letters.record import Letter, LetterFilter, Overview, letter_of
from topology.kafka.client import broker_errors, client_options
from topology.kafka.existing_topics import require_topics
from topology.records.piece import Piece
from topology.runtime.progress import Progress
from topology.settings import Settings

_PIECE_RECORDS = 2_000
# What one batch of letters may take when parsed; ours hold a single letter when they are large.
_BATCH_BYTES = 64 << 20


def letters_of(topic: str, partition: int, piece: Piece) -> Iterator[Letter]:
    """The records of a piece as letters; a batch that cannot be read is one, of reason `unknown`."""
    records = piece.records
    for index, (offset, key, value) in enumerate(zip(piece.offsets, piece.keys, piece.values, strict=True)):
        letter = letter_of((topic, partition, offset), records.timestamps[index], key, value, records.headers[index])
        yield replace(letter, message=records.whole[index].message) if records.whole else letter


class LetterReader:
    """Reads a topic once, from its first record to the end as it was when `letters` was called.

    Attributes:
        begins: the first offset of each partition that still exists.
        read: records read so far.
    """

    def __init__(self, consumer: SpanConsumer, partitions: Sequence[TopicPartition], begins: dict[int, int]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._native = load_native()
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
        begin = self.begins[partition.partition]
        async with aclosing(spans_between(self._consumer, partition, begin, end)) as spans:
            async for span in spans:
                for piece in span.pieces(_PIECE_RECORDS, self._native, refuse_above=_BATCH_BYTES):
                    for letter in letters_of(partition.topic, partition.partition, piece):
                        if letter.offset >= end:
                            return
                        yield letter


@asynccontextmanager
async def letter_reader(settings: Settings, topic: str) -> AsyncIterator[LetterReader]:
    """A reader of the dead-letter or the late topic, without a group; committed records only.

    Raises:
        ConfigError: the topic is missing.
        BrokerUnavailable: no broker answers.
    """
    count = (await require_topics(settings, [topic]))[topic]
    partitions = [TopicPartition(topic, number) for number in range(count)]
    async with (
        broker_errors(settings),
        log_reader(client_options(settings), auto_offset_reset="earliest") as consumer,
    ):
        begins = await consumer.beginning_offsets(partitions)
        yield LetterReader(consumer, partitions, {tp.partition: offset for tp, offset in begins.items()})


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
