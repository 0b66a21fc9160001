"""Faust's transport, made batch-native: whole fetches go straight from the consumer to the task of their partition.

Faust 0.15.3 handles every record with at least four asyncio tasks, keeps a buffer of records between consumer and agent that
a rebalance may or may not clear, and commits offsets past messages in flight. Each override below says which of that it
replaces; tests/integration/consumer has a test for each. All that touches Faust's internals is in this file.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from importlib.metadata import version
from operator import methodcaller
from typing import Any, Protocol, TypeVar

import faust
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from pipeline.ingest.plain import PlainScanner
from schemas.errors import ConfigError
from topology.consumer.assignor import make_assignor
from topology.consumer.coordinator import GroupHealth, WatchedCoordinator
from topology.consumer.fetch import MissingSpan, Piece, Span, SpanConsumer
from topology.consumer.parse_ahead import ParseAhead
from topology.settings import Settings

SUPPORTED = "0.15.3"
FETCH_WAIT_S = 0.5
# Partitions that brought nothing for so long are quiet; then the broker holds an answer back for so long.
QUIET_AFTER_S = 1.0
QUIET_WAIT_MS = 500
# Enough for numpy to be quick, few enough that the loop turns every 30 ms or so.
PIECE_RECORDS = 8_000
Answer = TypeVar("Answer")

if version("faust-streaming") != SUPPORTED:
    raise ConfigError(f"faust-streaming {version('faust-streaming')} is installed, this build is made for {SUPPORTED}")


class Listener(Protocol):
    """What the transport tells the worker. All calls come on the main event loop, never two at once for one partition."""

    async def assigned(self, partitions: set[TP]) -> None:
        """Make ready to process these partitions (all that are ours now), and let each flow (`BatchConsumer.start_reading`)."""

    async def revoked(self, partitions: set[TP]) -> None:
        """Write what is owed for these partitions, and write nothing for them afterwards unless assigned again."""

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        """Process a piece. An answer of None means done; an offset means: go back and read on from there."""

    async def out_of_range(self, partition: TP, offset: int) -> int | None:
        """The log of a partition does not hold this offset. Answers where to read on; None: not at all."""

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
            auto_offset_reset="none",  # a client that resets an offset by itself hides what was lost
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

    async def _here(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine in the consumer's thread. Faust's own queue has two places, which two slow requests would fill."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        """Set positions and let these partitions flow; those that are not ours any more are left out."""
        await self._here(self._read_from(dict(offsets)))

    async def _read_from(self, offsets: dict[TP, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, offset in offsets.items():
            try:
                consumer.seek(TopicPartition(*tp), offset)
                consumer.resume(TopicPartition(*tp))
            except IllegalStateError:
                self.log.info("%s was revoked before it could be read", tp)

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The end of each partition's log, records of open transactions included, asked of the broker now."""
        found = await self._here(self._ends([TopicPartition(*tp) for tp in partitions]))
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = await self._ensure_consumer().high_watermarks(partitions)
        return ends

    async def begins(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset of each partition that still exists."""
        found = await self._here(self._begins([TopicPartition(*tp) for tp in partitions]))
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def _begins(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        begins: dict[TopicPartition, int] = await self._ensure_consumer().beginning_offsets(partitions)
        return begins

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> dict[TP, int]:
        """The first offset written at a time or later; the log's end where there is none."""
        return await self._here(self._at_time([TopicPartition(*tp) for tp in partitions], time_ms))

    async def _at_time(self, partitions: list[TopicPartition], time_ms: int) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        ends = await consumer.end_offsets(partitions)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, time_ms))
        return {TP(*tp): ends[tp] if found[tp] is None else found[tp].offset for tp in partitions}

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """What the group committed for these partitions; those without a commit are left out."""
        return await self._here(self._committed([TopicPartition(*tp) for tp in partitions]))

    async def _committed(self, partitions: list[TopicPartition]) -> dict[TP, int]:
        found = await self._ensure_consumer()._coordinator.fetch_committed_offsets(partitions)
        return {TP(tp.topic, tp.partition): meta.offset for tp, meta in found.items() if meta.offset >= 0}

    async def hold(self, partitions: Iterable[TP]) -> None:
        """Fetch nothing from these partitions until `read_from`."""
        await self._here(self._hold([TopicPartition(*tp) for tp in partitions]))

    async def _hold(self, partitions: list[TopicPartition]) -> None:
        consumer = self._ensure_consumer()
        consumer.pause(*(partition for partition in partitions if partition in consumer.assignment()))

    def wait_for_data(self, wait_ms: int) -> None:
        """How long the broker may hold an answer back when no record is there; any record ends the wait."""
        if self._consumer is not None:
            self._consumer._fetcher._fetch_max_wait_ms = wait_ms

    def health(self) -> GroupHealth:
        """How the member stands with its group, and whether the fetching itself goes on; asked of memory, not of the broker."""
        consumer = self._consumer
        if consumer is None or not isinstance(consumer._coordinator, WatchedCoordinator):
            return GroupHealth(joined=False, heard_s=None, error=None)
        health = consumer._coordinator.health()
        fetching = consumer._fetcher.error_future
        if health.error is None and fetching.done() and not fetching.cancelled() and not consumer._closed:
            error = fetching.exception() or RuntimeError("the fetching of records has ended")
            return GroupHealth(health.joined, health.heard_s, error)
        return health


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Reads spans and hands them to the listener; knows nothing of acks, buffers and commits.

    Positions are committed by each task inside its own transaction, so Faust's bookkeeping of acks (which can commit past a
    message in flight, and throws acks away on a rebalance) is never used.
    """

    _thread: _Thread

    def __post_init__(self) -> None:
        self._assigned: set[TP] = set()
        self._flowing: set[TP] = set()
        self._changed = asyncio.Event()
        self._transition: asyncio.Task[None] | None = None
        self._ending = False
        self._quiet_s = 0.0

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def listener(self) -> Listener:
        """Who is told."""
        listener: Listener = self.transport.listener
        return listener

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The end of each partition's log, records of open transactions included, asked of the broker now."""
        return await self._thread.ends(partitions)

    async def begins(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset of each partition that still exists."""
        return await self._thread.begins(partitions)

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """What the group committed for these partitions; those without a commit are left out."""
        return await self._thread.committed(partitions)

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> dict[TP, int]:
        """The first offset written at a time or later; the log's end where there is none."""
        return await self._thread.at_time(partitions, time_ms)

    def health(self) -> GroupHealth:
        """How the member stands with its group."""
        return self._thread.health()

    def clients(self) -> list[Any]:
        """The aiokafka client that reads, once it is there."""
        consumer = self._thread._consumer
        return [] if consumer is None else [consumer._client]

    async def start_reading(self, offsets: Mapping[TP, int]) -> None:
        """Read these partitions from these offsets on; those that are not ours any more are left out."""
        ours = {tp: offset for tp, offset in offsets.items() if tp in self._assigned}
        # Before the seek: a span that arrives in between must not be dropped, for nothing would fetch it again.
        self._flowing |= ours.keys()
        await self._thread.read_from(ours)
        self._changed.set()

    async def stop_reading(self, partitions: Iterable[TP]) -> None:
        """Read these partitions no more until they flow again."""
        stopped = set(partitions)
        self._flowing -= stopped
        await self._thread.hold(stopped)

    async def end(self) -> None:
        """Take part in no further rebalance, and give up one under way: the consumer is about to leave the group."""
        self._ending = True
        await self._stop_transition()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Replaces Faust's, which waits for streams we do not use and drops acks before it commits them."""
        if self._ending:
            return
        self._assigned = set()
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
        self._assigned = set(assigned)
        self._transition = asyncio.ensure_future(self._take_over(set(assigned)))

    async def _take_over(self, assigned: set[TP]) -> None:
        try:
            await self.listener.assigned(assigned)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever stops a takeover ends the process, by way of the listener
            if not self._ending:
                self.listener.failed(error)

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
                        if isinstance(parsed.span, MissingSpan):
                            back_to = await self.listener.out_of_range(tp, parsed.span.start)
                        else:
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
                fetched = await self._fetch()
            except ConsumerStoppedError:
                break
            refused = self.transport.refuse_above
            spans = [
                (tp, span, _pieces(span, scanners.get(tp.topic), refused.get(tp.topic)))
                for tp, found in fetched
                for span in found
            ]
            before, parsing = parsing, ahead.parse(spans)
            if before is not None:
                await before
        if parsing is not None:
            await parsing

    async def _fetch(self) -> list[tuple[TP, list[Span]]]:
        """What the broker has next. Where a log does not hold the offset asked for, a `MissingSpan` stands in its place."""
        try:
            fetched = await self._thread.getmany(set(self._flowing), FETCH_WAIT_S)
        except OffsetOutOfRangeError as error:
            return [(TP(*tp), [MissingSpan(offset)]) for tp, offset in error.args[0].items()]
        except NoOffsetForPartitionError:
            return []  # a partition that was just assigned: its task says where it is read from
        self._wait_longer(quiet=not fetched)
        return [(TP(*tp), found) for tp, found in (fetched or {}).items()]

    def _wait_longer(self, *, quiet: bool) -> None:
        """Let the broker hold its answers back while all partitions are quiet: asking often costs it, and a record ends the wait.

        While any is busy the wait is short: a partition that is read again joins only the next request.
        """
        self._quiet_s = self._quiet_s + FETCH_WAIT_S if quiet else 0.0
        short_ms = self.transport.settings.kafka.fetch_max_wait
        self._thread.wait_for_data(max(QUIET_WAIT_MS, short_ms) if self._quiet_s >= QUIET_AFTER_S else short_ms)

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
