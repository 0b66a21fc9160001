"""What must be true before the state is re-keyed: nobody works, nothing unread is too old, every module is at home."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.cores.module_core import ModuleCore
from pipeline.cores.rekey import misplaced
from schemas.errors import ConfigError
from topology.consumer.fetch import SpanConsumer
from topology.consumer.log_reader import log_reader, spans_between
from topology.kafka.client import client_options
from topology.records.piece import Piece
from topology.settings import Settings

# So many module ids are named in an error.
_NAMED = 5
# Among so many of the last records the newest event time is looked for.
_TAIL = 200
_WAY_OUT = "let the workers read to the end, stop them and run this again at once"


async def require_no_members(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Refuse while the group has a member.

    Raises:
        ConfigError: it has.
    """
    (answer,) = await admin.describe_consumer_groups([settings.application_id])
    members = sum(len(group[5]) for group in answer.groups)
    if members:
        raise ConfigError(
            f"{members} workers of application_id = {settings.application_id} are running; stop all of them first, wait for"
            " their clean end, and run this again"
        )


async def require_read(settings: Settings, cores: Sequence[ModuleCore]) -> None:
    """What is still to be read must be short enough for windows to wait for it.

    After the growth a module's events come in by two ways, the old partition and its new one, and stream time follows the faster
    one. So no task may be further behind the others, and nothing unread older, than windows wait for late events.

    Raises:
        ConfigError: something is.
    """
    topics = (settings.topics.module_log_events, settings.repartition_topic)
    sources = [TopicPartition(topic, number) for topic in topics for number in range(len(cores))]
    unread: dict[TopicPartition, tuple[int, int]] = {}
    async with log_reader(client_options(settings)) as consumer:
        begins, ends = await consumer.beginning_offsets(sources), await consumer.end_offsets(sources)
        for tp in sources:
            position = cores[tp.partition].offsets.get(tp.topic)
            start = max(position or 0, begins[tp])
            if start < ends[tp] and (first := await _first(consumer, tp, start, ends[tp])) is not None:
                core = cores[tp.partition]
                newest_ms = _newest_ms(core, tp, first)
                async for piece in _pieces(consumer, tp, max(start, ends[tp] - _TAIL), ends[tp]):
                    newest_ms = max(newest_ms, _newest_ms(core, tp, piece))
                unread[tp] = int(first.records.timestamps[0]), newest_ms
    _require_short(settings, cores, unread)


def _require_short(
    settings: Settings, cores: Sequence[ModuleCore], unread: Mapping[TopicPartition, tuple[int, int]]
) -> None:
    """Refuse what is too old.

    Args:
        settings: of the application.
        cores: by partition.
        unread: by source, when its first record was written, and the newest event time among its last ones.
    """
    windows = settings.core().windows
    keep_ms = windows.grace_ms + windows.corrections_ms
    now_ms = time.time_ns() // 1_000_000
    streams = [core.stream_ms for core in cores if core.stream_ms is not None]
    newest_ms = max([*streams, *(event_ms for _, event_ms in unread.values())], default=0)
    for tp, (written_ms, _) in unread.items():
        stream_ms = cores[tp.partition].stream_ms
        if stream_ms is None and streams:
            raise ConfigError(
                f"{tp.topic}/{tp.partition} has records to be read, and its task has read no event yet: it would begin at"
                f" the stream time of the others, however old its first event is; {_WAY_OUT}"
            )
        behind_ms = max(0 if stream_ms is None else newest_ms - stream_ms, now_ms - written_ms)
        if behind_ms > keep_ms:
            raise ConfigError(
                f"{tp.topic}/{tp.partition} has records to be read that span {behind_ms} ms, more than windows.grace +"
                f" windows.corrections = {keep_ms} ms, so events would be late; {_WAY_OUT}"
            )


async def _first(consumer: SpanConsumer, tp: TopicPartition, start: int, end: int) -> Piece | None:
    """The first records of [start, end); None where there are markers only."""
    async with aclosing(_pieces(consumer, tp, start, end, at_once=1)) as pieces:
        return await anext(pieces, None)


async def _pieces(
    consumer: SpanConsumer, tp: TopicPartition, start: int, end: int, at_once: int = _TAIL
) -> AsyncGenerator[Piece, None]:
    """All records of [start, end), in however many fetches they come."""
    async with aclosing(spans_between(consumer, tp, start, end)) as spans:
        async for span in spans:
            for piece in span.pieces(at_once):
                if len(piece.records):
                    yield piece


def _newest_ms(core: ModuleCore, tp: TopicPartition, piece: Piece) -> int:
    now_ms = time.time_ns() // 1_000_000
    times = core.event_times(piece.batch(tp.topic, tp.partition), now_ms)
    return int(times.max())


def require_homes(settings: Settings, cores: Sequence[ModuleCore]) -> None:
    """Refuse where a module lives elsewhere than its id belongs.

    Raises:
        ConfigError: some do; the message names them.
    """
    found = misplaced(cores)
    if not found:
        return
    named = ", ".join(f"{one.module_id} in {one.partition} (its id belongs to {one.home})" for one in found[:_NAMED])
    raise ConfigError(
        f"{len(found)} modules do not live in the partition of their id: {named}; their producers hash keys in another way, so"
        f' nobody can tell where they will send them. Run the workers with repartition = "always" until these modules have'
        f" expired (state.module_expiry = {settings.state.module_expiry} ms), then run this again"
    )
