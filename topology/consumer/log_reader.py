"""Reads what is committed of a log, from one offset to another: the one way for changelogs, letters and checks."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition

from schemas.errors import BrokerUnavailable
from topology.consumer.fetch import SpanConsumer
from topology.records.span import Span

STALL_TIMEOUT_S = 60.0
_FETCH_WAIT_MS = 500


@asynccontextmanager
async def log_reader(options: Mapping[str, Any], **more: Any) -> AsyncIterator[SpanConsumer]:
    """A started consumer without a group's help, committed records only; stopped at the end.

    Args:
        options: of the client.
        more: of the consumer. An offset that a log does not hold is an error unless `auto_offset_reset` says otherwise.
    """
    consumer = SpanConsumer(
        **{
            **options,
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # the default would race to the end of a log and read nothing
            **more,
        }
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def spans_between(
    consumer: SpanConsumer, partition: TopicPartition, begin: int, end: int
) -> AsyncGenerator[Span, None]:
    """What lies in [begin, end) of a partition, as it is fetched; the last span may reach beyond the end.

    Raises:
        BrokerUnavailable: nothing came for a minute.
    """
    consumer.assign([partition])
    consumer.seek(partition, begin)
    progress = time.monotonic()
    while (position := await consumer.position(partition)) < end:
        found: dict[TopicPartition, list[Span]] = await consumer.getmany(partition, timeout_ms=_FETCH_WAIT_MS)
        for span in found.get(partition, ()):
            yield span
        # Markers of transactions move the position too, without a record.
        if await consumer.position(partition) > position:
            progress = time.monotonic()
        elif time.monotonic() - progress > STALL_TIMEOUT_S:
            raise BrokerUnavailable(
                f"{partition.topic}/{partition.partition}: nothing came for {STALL_TIMEOUT_S:.0f} s before offset {end}"
            )
