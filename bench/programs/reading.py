"""Shared by the limits: the worker's fetch settings without Faust and without a group, all partitions from the beginning."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.report.progress import Progress, Task
from pipeline.native import Native
from topology.consumer.fetch import Piece, Span, SpanConsumer
from topology.consumer.transport import PIECE_RECORDS
from topology.settings.kafka import KafkaSettings


async def fetches(
    task: Task, make: Callable[..., AIOKafkaConsumer], max_records: int | None = None
) -> AsyncIterator[dict[TopicPartition, Any]]:
    """What each `getmany` gives (at most so many records), until the reader has enough."""
    kafka = KafkaSettings()
    consumer = make(
        task.topic,
        bootstrap_servers=task.bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_bytes=kafka.fetch_max_bytes,
        max_partition_fetch_bytes=kafka.max_partition_fetch_bytes,
        fetch_max_wait_ms=kafka.fetch_max_wait,
    )
    await consumer.start()
    try:
        while True:
            yield await consumer.getmany(timeout_ms=500, max_records=max_records)
    finally:
        await consumer.stop()


def run_on_pieces(work: Callable[[TopicPartition, Piece], None], native: Native | None = None) -> None:
    """Do this to every parsed piece of the input, as large as the worker's are, and report the progress.

    Args:
        work: what is done.
        native: the compiled part, to parse records with; without it they are aiokafka's objects.
    """
    uvloop.run(_run(work, native))


async def _run(work: Callable[[TopicPartition, Piece], None], native: Native | None) -> None:
    task = Task.from_environment()
    progress = Progress(task.events)
    async for found in fetches(task, SpanConsumer):
        for partition, spans in found.items():
            for span in spans:
                assert isinstance(span, Span)
                for piece in span.pieces(PIECE_RECORDS, native):
                    work(partition, piece)
                    progress.add(len(piece.records))
                    await asyncio.sleep(0)
        if progress.done:
            return
