"""Windows of one module and its alerts from a while ago: the interface that views ask, and one that reads the topics.

A store would answer the same questions faster; whoever asks does not know which it is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.alerts import Alert
from schemas.metrics import ModuleMetrics
from schemas.valid.words import DECODE_ERRORS
from topology.kafka.client import broker_errors
from topology.kafka.existing_topics import require_topics
from topology.monitor.feed import read_committed_consumer
from topology.settings import Settings

_FETCH_MS = 500
# A window is written again for as long as it may be corrected; what was written later than this after its end is left out.
_WRITTEN_WITHIN_MS = 15 * 60_000


@dataclass(slots=True)
class Found:
    """What was found, and whether all of it was looked at.

    Attributes:
        windows: by start, the newest revision of each.
        alerts: by fingerprint, the newest record of each.
        whole: the time was enough to read everything that was asked for.
        read: records that were read.
    """

    windows: dict[int, ModuleMetrics] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    whole: bool = True
    read: int = 0


class History(Protocol):
    """What is known of a module's past."""

    async def windows(self, module_id: str, window: str, from_ms: int, to_ms: int) -> Found:
        """The windows of a module that ended in a span of time."""

    async def alerts(self, module_id: str, from_ms: int) -> Found:
        """The alerts of a module that changed since."""


class TopicHistory:
    """Reads the worker's topics. Every record of the time in question is read, for a module may be on any partition."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        settings: Settings,
        partitions: dict[str, int],
        deadline_s: float,
        progress: Callable[[int], None],
    ) -> None:
        self._consumer = consumer
        self._settings = settings
        self._partitions = partitions
        self._deadline_s = deadline_s
        self._progress = progress
        self._read = 0

    async def windows(self, module_id: str, window: str, from_ms: int, to_ms: int) -> Found:
        """See `History`."""
        found = Found()
        prefix = f"{module_id}|{window}|".encode()
        decode = msgspec.json.Decoder(ModuleMetrics).decode

        def take(key: bytes | None, value: bytes) -> None:
            if key is None or not key.startswith(prefix):
                return
            record = decode(value)
            known = found.windows.get(record.window_start)
            if from_ms <= record.window_end <= to_ms and (known is None or known.revision <= record.revision):
                found.windows[record.window_start] = record

        await self._range(self._settings.topics.module_metrics, from_ms, to_ms + _WRITTEN_WITHIN_MS, take, found)
        return found

    async def alerts(self, module_id: str, from_ms: int) -> Found:
        """See `History`."""
        found = Found()
        decode = msgspec.json.Decoder(Alert).decode

        def take(key: bytes | None, value: bytes) -> None:
            record = decode(value)
            known = found.alerts.get(record.fingerprint)
            later = known is None or (known.starts_at, known.revision) <= (record.starts_at, record.revision)
            if record.module_id == module_id and later:
                found.alerts[record.fingerprint] = record

        await self._range(self._settings.topics.module_alerts, from_ms, None, take, found)
        return found

    async def _range(
        self, topic: str, from_ms: int, to_ms: int | None, take: Callable[[bytes | None, bytes], None], found: Found
    ) -> None:
        """Every record that was written between two moments, or until the end."""
        parts = [TopicPartition(topic, number) for number in range(self._partitions[topic])]
        self._consumer.assign(parts)
        stops = await self._consumer.end_offsets(parts)
        if to_ms is not None:
            marks = await self._consumer.offsets_for_times(dict.fromkeys(parts, to_ms))
            stops |= {part: mark.offset for part, mark in marks.items() if mark is not None}
        firsts = await self._consumer.offsets_for_times(dict.fromkeys(parts, from_ms))
        for part in parts:
            mark = firsts[part]
            self._consumer.seek(part, stops[part] if mark is None else mark.offset)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline_s
        while behind := [part for part in parts if await self._consumer.position(part) < stops[part]]:
            if loop.time() > end:
                found.whole = False
                return
            for part, records in (await self._consumer.getmany(*behind, timeout_ms=_FETCH_MS)).items():
                for record in records:
                    if record.offset < stops[part] and record.value is not None:
                        _try(take, record.key, record.value)
                found.read += len(records)
                self._read += len(records)
                self._progress(self._read)


def _try(take: Callable[[bytes | None, bytes], None], key: bytes | None, value: bytes) -> None:
    try:
        take(key, value)
    except DECODE_ERRORS:  # anybody may write to a topic
        return


@asynccontextmanager
async def topic_history(
    settings: Settings, *, deadline_s: float, progress: Callable[[int], None]
) -> AsyncIterator[History]:
    """A history that reads the topics.

    Args:
        settings: of the broker and the topics.
        deadline_s: so long each question may take; what was found by then is the answer, marked as not whole.
        progress: is told how many records were read.

    Raises:
        ConfigError: a topic is missing.
        BrokerUnavailable: no broker answers.
    """
    names: Sequence[str] = (settings.topics.module_metrics, settings.topics.module_alerts)
    partitions = await require_topics(settings, names)
    async with broker_errors(settings):
        consumer = read_committed_consumer(settings)
        try:
            await consumer.start()
            yield TopicHistory(consumer, settings, partitions, deadline_s, progress)
        finally:
            await consumer.stop()
