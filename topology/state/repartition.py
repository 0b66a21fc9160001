"""More partitions for an application whose state stays (`modpulse state repartition`): offline, and all or nothing.

Modules live in the partition of their id, so with another number of partitions they move, and their windows with them. The state
of all tasks is read, re-keyed (`pipeline.cores.rekey`) and written in one transaction. Ended at any point it can be run again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import InvalidPartitionsError

from pipeline.alerts.rules import Rule
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.rekey import align, rekey
from pipeline.modules.registry import OTHER
from pipeline.outputs import Cut
from schemas.errors import ConfigError, StateIncompatible
from topology.consumer.log_reader import log_reader
from topology.kafka.broker_protocol import describe_topics
from topology.kafka.client import admin_client, broker_errors, client_options
from topology.kafka.existing_topics import require_topics
from topology.kafka.topic_admin import wait_until_visible
from topology.producer.addressed import Addresses
from topology.producer.attempt import Attempt
from topology.producer.transaction import Transactor, transactional_producer
from topology.records.outgoing import MAX_BATCH_BYTES, Record, batches_of
from topology.settings import Settings
from topology.state.repartition_checks import require_homes, require_no_members, require_read
from topology.state.restore import Restored, check_changelog, position_of, read_changelog

# Longer than the largest state takes to write, shorter than Kafka's transaction.max.timeout.ms of 15 minutes.
TRANSACTION_TIMEOUT_MS = 300_000
_WRITER = "repartitioning"
# A key that no state has; its record is a tombstone.
_BARRIER = b"repartitioning"


@dataclass(frozen=True, slots=True)
class Repartitioned:
    """What was done, or in a dry run would be.

    Attributes:
        before, after: partitions of the input.
        modules: how many are known. moved: how many of them live in another partition now.
        state_records: records written to the changelog.
        grown: topics that got more partitions.
    """

    before: int
    after: int
    modules: int = 0
    moved: int = 0
    state_records: int = 0
    grown: tuple[str, ...] = ()


async def repartition(
    settings: Settings, rules: Sequence[Rule], wanted: int | None, *, dry_run: bool = False
) -> Repartitioned:
    """Give each module's state to the partition its id belongs to, of `wanted` partitions.

    Args:
        settings: of the application.
        rules: its alert rules, whose state moves too.
        wanted: the new number of partitions; None: as many as the input has.
        dry_run: check everything, write and fence nothing.

    Raises:
        ConfigError: workers are running, the number does not fit, or modules do not live where their ids belong.
        StateIncompatible: the state cannot be read, or belongs to another configuration.
        StateLost: the changelog is behind the group's commits.
        BrokerUnavailable: no broker answers.
    """
    source, changelog, forwarded = (
        settings.topics.module_log_events,
        settings.changelog_topic,
        settings.repartition_topic,
    )
    topics = settings.topics
    outputs = [topics.module_metrics, topics.system_metrics, topics.module_alerts, topics.health_status]
    counts = await require_topics(settings, [source, changelog, forwarded, settings.partials_topic, *outputs])
    async with broker_errors(settings), admin_client(settings) as admin:
        await require_no_members(admin, settings)
        # A run that was killed may have left its transaction open; a worker that comes back meanwhile can write nothing.
        for name in () if dry_run else (_WRITER, *map(str, range(counts[changelog]))):
            await _fence(settings, name)
        ends = await _ends(settings, counts[changelog])
        read = [
            await read_changelog(client_options(settings), changelog, number) for number in range(counts[changelog])
        ]
        changelog_id = (await describe_topics(admin, [changelog])).topics[changelog].topic_id
        committed = await _committed(settings, counts[changelog])
        cores = _restored(settings, rules, read, changelog_id, committed)
        before = len(cores) or counts[source]
        # A run that was killed may have left topics that have more already.
        least = max(counts[source], counts[changelog], counts[forwarded], before)
        after = wanted or least
        if after < least:
            raise ConfigError(
                f"--partitions {after}: one of the topics has {least} already, and Kafka takes no partition away; ask for at"
                f" least {least}"
            )
        plan = Repartitioned(before, after, grown=tuple(n for n in (changelog, forwarded, source) if counts[n] < after))
        cuts: list[tuple[int, Cut]] = []
        if cores and before < after:
            await require_read(settings, cores)
            require_homes(settings, cores)
            cuts, plan = _moved(settings, rules, cores, plan)
        if dry_run:
            return plan
        await _grow(admin, [name for name in plan.grown if name != source], after)
        if cuts:

            async def require_unchanged() -> None:
                await require_no_members(admin, settings)
                if await _ends(settings, len(read)) != ends:
                    raise ConfigError(
                        "a worker has written since the state was read; stop all workers and run this again"
                    )

            await _write(settings, cuts, counts | dict.fromkeys((changelog, forwarded), after), require_unchanged)
        # The input comes last: producers use its new partitions at once.
        await _grow(admin, [name for name in plan.grown if name == source], after)
    return plan


async def _fence(settings: Settings, name: str) -> None:
    """Whoever writes under this name can write nothing more; what it had begun is aborted."""
    transactor = Transactor(settings, client_options(settings), name, settings.application_id)
    try:
        await transactor.open()
    finally:
        await transactor.close()


async def _ends(settings: Settings, partitions: int) -> list[int]:
    """The end of what is committed of each changelog partition: where a transaction that is open began."""
    wanted = [TopicPartition(settings.changelog_topic, number) for number in range(partitions)]
    async with log_reader(client_options(settings)) as consumer:
        found = await consumer.end_offsets(wanted)
    return [found[tp] for tp in wanted]


async def _committed(settings: Settings, partitions: int) -> list[dict[str, int]]:
    """What the group committed, by source, for each partition."""
    topics = (settings.topics.module_log_events, settings.repartition_topic)
    async with log_reader(client_options(settings), group_id=settings.application_id) as consumer:
        found = [
            {topic: await consumer.committed(TopicPartition(topic, number)) for topic in topics}
            for number in range(partitions)
        ]
    return [{topic: offset for topic, offset in one.items() if offset is not None} for one in found]


def _restored(
    settings: Settings,
    rules: Sequence[Rule],
    read: Sequence[Restored],
    changelog_id: str,
    committed: Sequence[Mapping[str, int]],
) -> list[ModuleCore]:
    """The tasks of the partition count that their positions name; none where no task ever committed anything.

    Raises:
        StateLost: the head of a changelog is gone, it is another topic, or it is behind what the group committed.
        StateIncompatible: the state cannot be read, or does not fit together.
    """
    positions = [position_of(found) for found in read]
    known = {position.partitions for position in positions if position is not None}
    if len(known) > 1 or any(position is not None for position in positions[max(known, default=0) :]):
        raise StateIncompatible(
            f"the tasks of {settings.changelog_topic} were made for different numbers of partitions ({sorted(known)}); restore"
            " the topic from a backup, or choose a new application_id"
        )
    for number, position in enumerate(positions):
        check_changelog(
            str(number), settings.changelog_topic, position, read[number].begin, changelog_id, committed[number]
        )
    cores = [
        ModuleCore(settings.core(), rules, partition=number, partitions=count)
        for count in known
        for number in range(count)
    ]
    for core, found in zip(cores, read, strict=False):
        core.restore(found.state)
    return cores


def _moved(
    settings: Settings, rules: Sequence[Rule], cores: list[ModuleCore], plan: Repartitioned
) -> tuple[list[tuple[int, Cut]], Repartitioned]:
    """What is to be written, by partition in this order, and the numbers."""
    now_ms = time.time_ns() // 1_000_000
    before = {name: core.partition for core in cores for name in core.modules.codes if name != OTHER}
    align(cores, now_ms)
    cuts = [(core.partition, core.cut(now_ms, everything=True)) for core in cores]
    new = [ModuleCore(settings.core(), rules, partition=number, partitions=plan.after) for number in range(plan.after)]
    rekey(cores, new)
    moved = sum(
        module_id in before and before[module_id] != core.partition for core in new for module_id in core.modules.codes
    )
    cuts += [(core.partition, core.cut(now_ms, everything=True)) for core in new]
    state_records = sum(len(cut.state) + 1 for _, cut in cuts)
    return cuts, Repartitioned(plan.before, plan.after, len(before), moved, state_records, plan.grown)


async def _grow(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int) -> None:
    if names:
        try:
            await admin.create_partitions({name: NewPartitions(partitions) for name in names})
        except InvalidPartitionsError as error:
            raise ConfigError(f"somebody else added partitions meanwhile ({error}); run this again") from error
        await wait_until_visible(admin, names, partitions)


async def _write(
    settings: Settings,
    cuts: Sequence[tuple[int, Cut]],
    counts: dict[str, int],
    require_unchanged: Callable[[], Awaitable[None]],
) -> None:
    """Everything in one transaction: the last words of the old tasks, then the new ones.

    Args:
        settings: of the application.
        cuts: by partition, in this order.
        counts: partitions by topic.
        require_unchanged: raises where a worker has written since the state was read; nothing is written then.
    """
    addresses = Addresses(settings)
    producer = transactional_producer(settings, client_options(settings), _WRITER, TRANSACTION_TIMEOUT_MS)
    await producer.start()
    try:
        attempt = Attempt(producer)
        async with producer.transaction():
            # From its first record on, a worker that starts waits for the end of this transaction before it reads its state.
            for number in range(counts[settings.changelog_topic]):
                barrier = batches_of([Record(_BARRIER, None)], MAX_BATCH_BYTES)
                await attempt.send(next(barrier), TopicPartition(settings.changelog_topic, number))
            await attempt.acknowledged()
            await require_unchanged()
            for partition, cut in cuts:
                outputs, state = (
                    addresses.outputs(cut, partition),
                    addresses.state(cut, partition, settings.changelog_topic),
                )
                for topic, number, records in (*outputs, *state):
                    for batch in batches_of(records, MAX_BATCH_BYTES):
                        await attempt.send(batch, TopicPartition(topic, number % counts[topic]))
                await attempt.acknowledged()
    finally:
        await asyncio.shield(producer.stop())
