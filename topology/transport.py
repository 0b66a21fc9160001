"""Faust's transport, made batch-native: whole fetches go straight from the consumer to the task of their partition.

Faust 0.15.3 handles every record with at least four asyncio tasks, keeps a buffer of records between consumer and agent that
a rebalance may or may not clear, and commits offsets past messages in flight. Each override below says which of that it
replaces; tests/integration/test_transport.py has a test for each. Everything that touches Faust's internals is in this file.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from operator import methodcaller
from typing import Any, Protocol

import faust
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from pipeline.ingest.plain import PlainScanner
from schemas.errors import ConfigError
from topology.assignor import make_assignor
from topology.fetch import Piece, Span, SpanConsumer
from topology.parse_ahead import ParseAhead
from topology.settings import Settings

SUPPORTED = "0.15.3"
FETCH_WAIT_S = 0.5
# Enough for numpy to be quick, few enough that the loop turns every 30 ms or so.
PIECE_RECORDS = 8_000

if version("faust-streaming") != SUPPORTED:
    raise ConfigError(f"faust-streaming {version('faust-streaming')} is installed, this build is made for {SUPPORTED}")


class Listener(Protocol):
    """What the transport tells the worker. All calls come on the main event loop, never two at once for one partition."""

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        """Make ready to process these partitions (all that are ours now); answers where to read each from."""

    async def revoked(self, partitions: set[TP]) -> None:
        """Write what is owed for these partitions, and write nothing for them afterwards unless assigned again."""

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        """Process a piece. An answer of None means done; an offset means: go back and read on from there."""

    def failed(self, error: BaseException) -> None:
        """Reading cannot go on."""


def _pieces(span: Span, scanner: PlainScanner | None, refuse_above: int | None) -> Iterator[Piece]:
    """Parse a span piece by piece, and read the plain events of a topic that holds some."""
    if scanner is None:
        return span.pieces(PIECE_RECORDS, refuse_above=refuse_above)
    pieces = span.pieces(PIECE_RECORDS, scanner.native, refuse_above=refuse_above)
    return map(methodcaller("scanned", scanner), pieces)


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread in which the consumer lives, so that heartbeats go on while the main loop computes."""

    def _create_worker_consumer(self, transport: "BatchTransport") -> SpanConsumer:
        # Faust reads uncommitted records, sets fetch_max_wait to 1.5 s, and chooses an assignor that does not pair topics.
        settings = transport.settings
        kafka = settings.kafka
        pair = (settings.topics.module_log_events, settings.repartition_topic)
        return SpanConsumer(
            **transport.client_options,
            group_id=settings.application_id,
            group_instance_id=kafka.group_instance_id,
            client_rack=kafka.client_rack,
            partition_assignment_strategy=[make_assignor(pair)],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=kafka.session_timeout,
            heartbeat_interval_ms=max(kafka.session_timeout // 10, 200),
            rebalance_timeout_ms=kafka.session_timeout,
            # A worker without a partition would leave the group after this and never come back (aiokafka #1187).
            max_poll_interval_ms=10 * 86_400_000,
            fetch_max_bytes=kafka.fetch_max_bytes,
            max_partition_fetch_bytes=kafka.max_partition_fetch_bytes,
            fetch_max_wait_ms=kafka.fetch_max_wait,
            metadata_max_age_ms=30_000,
        )

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        """Set positions and let these partitions flow; those that are not ours any more are left out."""
        await self.call_thread(self._read_from, dict(offsets))

    async def _read_from(self, offsets: dict[TP, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, offset in offsets.items():
            try:
                consumer.seek(TopicPartition(*tp), offset)
                consumer.resume(TopicPartition(*tp))
            except IllegalStateError:
                self.log.info("%s was revoked before it could be read", tp)

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The end of each partition's log, asked of the broker now."""
        found = await self.call_thread(self._ends, [TopicPartition(*tp) for tp in partitions])
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        consumer = self._ensure_consumer()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        # Of read_committed that is the last stable offset: what an open transaction has written comes after it.
        return {
            tp: max(end, consumer.highwater(tp) or 0) if tp in consumer.assignment() else end
            for tp, end in ends.items()
        }

    async def begins(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset of each partition that still exists."""
        found = await self.call_thread(self._begins, [TopicPartition(*tp) for tp in partitions])
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def _begins(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        begins: dict[TopicPartition, int] = await self._ensure_consumer().beginning_offsets(partitions)
        return begins

    async def hold(self, partitions: Iterable[TP]) -> None:
        """Fetch nothing from these partitions until `read_from`."""
        await self.call_thread(self._hold, [TopicPartition(*tp) for tp in partitions])

    async def _hold(self, partitions: list[TopicPartition]) -> None:
        self._ensure_consumer().pause(*partitions)


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Reads spans and hands them to the listener; knows nothing of acks, buffers and commits.

    Positions are committed by each task inside its own transaction, so Faust's bookkeeping of acks (which can commit past a
    message in flight, and throws acks away on a rebalance) is never used.
    """

    _thread: _Thread

    def __post_init__(self) -> None:
        self._flowing: set[TP] = set()
        self._changed = asyncio.Event()
        self._transition: asyncio.Task[None] | None = None
        self._ending = False

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def listener(self) -> Listener:
        """Who is told."""
        listener: Listener = self.transport.listener
        return listener

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The end of each partition's log, asked of the broker now."""
        return await self._thread.ends(partitions)

    async def begins(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset of each partition that still exists."""
        return await self._thread.begins(partitions)

    async def end(self) -> None:
        """Take part in no further rebalance, and give up one under way: the consumer is about to leave the group."""
        self._ending = True
        await self._stop_transition()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Replaces Faust's, which waits for streams we do not use and drops acks before it commits them."""
        if self._ending:
            return
        self._flowing.clear()
        await self._stop_transition()
        self._flowing.clear()
        await self.listener.revoked(set(revoked))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Replaces Faust's, which goes through table recovery.

        Returns at once: a restore may take longer than a rebalance may, and the group must not wait for it.
        """
        if self._ending:
            return
        await self._stop_transition()
        await self._thread.hold(assigned)
        self._transition = asyncio.ensure_future(self._take_over(set(assigned)))

    async def _take_over(self, assigned: set[TP]) -> None:
        try:
            offsets = await self.listener.assigned(assigned)
            # Before the seek: a span that arrives in between must not be dropped, for nothing would fetch it again.
            self._flowing = set(offsets)
            await self._thread.read_from(offsets)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever stops a takeover ends the process, by way of the listener
            if not self._ending:
                self.listener.failed(error)
            return
        self._changed.set()

    async def _stop_transition(self) -> None:
        if self._transition is not None and not self._transition.done():
            self._transition.cancel()
            await asyncio.wait([self._transition])
        self._transition = None

    async def pump(self) -> None:
        """Read and hand over until cancelled. Backpressure is this loop's await; `ParseAhead` says how far ahead of it.

        Pieces go over whenever they were fetched, for the task goes by offsets, and takes only what follows its position. A
        fetch that waited through a rebalance may bring what came after it; dropped here, it would never come again.
        """
        left: Span | None = None
        with ParseAhead() as ahead:
            reader = asyncio.ensure_future(self._read(ahead))
            try:
                while (parsed := await ahead.next(reader)) is not None:
                    tp = parsed.partition
                    if parsed.span is not left and tp in self._flowing:
                        back_to = await self.listener.batch(tp, parsed.piece)
                        if back_to is not None:
                            left = parsed.span
                            if tp in self._flowing:
                                await self._thread.read_from({tp: back_to})
                    ahead.done(parsed)
                    await asyncio.sleep(0)
            finally:
                reader.cancel()
                await asyncio.wait([reader])

    async def _read(self, ahead: ParseAhead) -> None:
        """Fetch, and have it parsed, one fetch in advance of the parser; ends when the consumer is stopped."""
        scanners = self.transport.scanners
        parsing: asyncio.Future[None] | None = None
        while True:
            if not self._flowing:
                self._changed.clear()
                await self._changed.wait()
            try:
                fetched = await self._thread.getmany(set(self._flowing), FETCH_WAIT_S)
            except ConsumerStoppedError:
                break
            spans = [
                (TP(*tp), span, _pieces(span, scanners.get(tp.topic), self.transport.refuse_above.get(tp.topic)))
                for tp, found in (fetched or {}).items()
                for span in found
            ]
            before, parsing = parsing, ahead.parse(spans)
            if before is not None:
                await before
        if parsing is not None:
            await parsing

    async def perform_seek(self) -> None:
        """Positions are set by `read_from` alone."""

    async def commit(self, *args: object, **kwargs: object) -> bool:
        """Offsets are committed in the tasks' transactions alone."""
        return True

    async def wait_empty(self) -> None:
        """Nothing is ever in flight between consumer and task."""


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with the consumer above."""

    Consumer = BatchConsumer

    def __init__(
        self, app: faust.App, settings: Settings, client_options: Mapping[str, Any], listener: Listener
    ) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.settings = settings
        self.client_options = client_options
        self.listener = listener
        scanner = PlainScanner.of(settings.core())
        topics = [settings.repartition_topic]
        # A batch that anybody may have written is refused where it cannot be used; one of our own topics is an error.
        self.refuse_above = dict.fromkeys(
            (settings.topics.module_log_events, settings.repartition_topic), settings.limits.max_batch_bytes
        )
        if settings.repartition != "always":  # else no event is taken in where it comes in first
            topics.append(settings.topics.module_log_events)
        self.scanners = {} if scanner is None else dict.fromkeys(topics, scanner)


class _Boot(BootStrategy):  # type: ignore[misc]
    """Start the consumer and nothing else: no agents, tables, leader election, reply topics or web server."""

    def server(self) -> Iterable[Any]:
        return (self.app.consumer,)


class WorkerApp(faust.App):  # type: ignore[misc]
    """The Faust application: service lifecycle and consumer thread."""

    BootStrategy = _Boot


def make_app(
    settings: Settings, client_options: Mapping[str, Any], make_listener: Callable[[], Listener], datadir: str
) -> WorkerApp:
    """An app whose consumer tells the listener. `datadir` is a directory Faust may make and use."""
    app = WorkerApp(
        settings.application_id,
        broker=[f"kafka://{server}" for server in settings.kafka.servers],
        datadir=datadir,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        processing_guarantee="at_least_once",
        store="memory://",
        broker_request_timeout=max(settings.kafka.request_timeout, settings.kafka.session_timeout) / 1000,
        broker_session_timeout=settings.kafka.session_timeout / 1000,
    )
    app.transport = BatchTransport(app, settings, client_options, make_listener())
    return app
