"""What must be true before the state is re-keyed: nobody works, nothing unread is too old, every module is at home."""

import time
from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.module_core import ModuleCore
from pipeline.rekey import misplaced
from schemas.errors import ConfigError
from topology.fetch import SpanConsumer
from topology.kafka_client import client_options
from topology.restore import check_not_behind
from topology.settings import Settings
from topology.span import Span

# So many module ids are named in an error.
_NAMED = 5


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


async def require_read(settings: Settings, cores: Sequence[ModuleCore], before: int) -> None:
    """What is still to be read must be short enough for windows to wait for it.

    After the growth a module's events come in by two ways, the old partition and its new one, and stream time follows the faster
    one. So no task may be further behind the others, and nothing unread older, than windows wait for late events.

    Raises:
        ConfigError: something is.
        StateLost: a task is behind what the group committed.
    """
    topics = (settings.topics.module_log_events, settings.repartition_topic)
    sources = [TopicPartition(topic, number) for topic in topics for number in range(before)]
    consumer = SpanConsumer(
        **client_options(settings),
        group_id=settings.application_id,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
    )
    windows = settings.core().windows
    keep_ms = windows.grace_ms + windows.corrections_ms
    newest_ms = max((core.stream_ms for core in cores if core.stream_ms is not None), default=0)
    now_ms = time.time_ns() // 1_000_000
    await consumer.start()
    try:
        begins, ends = await consumer.beginning_offsets(sources), await consumer.end_offsets(sources)
        for tp in sources:
            core = cores[tp.partition]
            position = core.offsets.get(tp.topic)
            check_not_behind(str(tp.partition), tp.topic, position, await consumer.committed(tp))
            start = max(position or 0, begins[tp])
            if start >= ends[tp] or (written_ms := await _written_ms(consumer, tp, start, ends[tp])) is None:
                continue
            if core.stream_ms is None and newest_ms:
                raise ConfigError(
                    f"{tp.topic}/{tp.partition} has records to be read, and its task has read no event yet: it would begin at"
                    " the stream time of the others, however old its first event is. Let the workers read to the end, stop"
                    " them and run this again at once"
                )
            behind_ms = 0 if core.stream_ms is None else newest_ms - core.stream_ms
            if max(behind_ms, now_ms - written_ms) > keep_ms:
                raise ConfigError(
                    f"{tp.topic}/{tp.partition} has records to be read from offset {start} on that are up to"
                    f" {max(behind_ms, now_ms - written_ms)} ms old, more than windows.grace + windows.corrections ="
                    f" {keep_ms} ms, so events would be late: let the workers read to the end, stop them and run this again"
                    " at once"
                )
    finally:
        await consumer.stop()


async def _written_ms(consumer: SpanConsumer, tp: TopicPartition, start: int, end: int) -> int | None:
    """When the first record of [start, end) was written; None where there is no record, but markers."""
    consumer.assign([tp])
    consumer.seek(tp, start)
    while await consumer.position(tp) < end:
        spans: dict[TopicPartition, list[Span]] = await consumer.getmany(tp, timeout_ms=500)
        for span in spans.get(tp, ()):
            for piece in span.pieces(1):
                if len(piece.records):
                    return int(piece.records.timestamps[0])
    return None


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
