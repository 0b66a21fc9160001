"""More partitions for an application whose state stays (`modpulse state repartition`): offline, and all or nothing.

Modules live in the partition of their id, so with another number of partitions they move, and their windows with them. The state
of all tasks is read, re-keyed (`pipeline.rekey`) and written in one transaction. Ended at any point it can be run again.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from pipeline.alerts.rules import Rule
from pipeline.ingest.modules import OTHER
from pipeline.module_core import ModuleCore
from pipeline.outputs import Cut
from pipeline.rekey import align, misplaced, rekey
from schemas.errors import BrokerUnavailable, ConfigError, StateIncompatible
from schemas.state import POSITION_KEY, Position, unpack_position
from topology.addressed import Addresses
from topology.attempt import Attempt
from topology.existing_topics import require_topics
from topology.fetch import SpanConsumer
from topology.kafka_client import admin_client, broker_errors, client_options
from topology.outgoing import MAX_BATCH_BYTES, batches_of
from topology.restore import Restored, check_not_behind, read_changelog
from topology.settings import Settings
from topology.task import FENCE_TIMEOUT_S
from topology.topic_admin import wait_until_visible
from topology.transaction import Transactor

log = structlog.get_logger()

# Longer than the largest state takes to write, shorter than Kafka's transaction.max.timeout.ms of 15 minutes.
TRANSACTION_TIMEOUT_MS = 600_000
# So many module ids are named in an error.
_NAMED = 5


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


@dataclass(frozen=True, slots=True)
class _Tasks:
    """All tasks as they were left."""

    cores: list[ModuleCore]
    positions: dict[int, Position]


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
        await _require_no_members(admin, settings)
        read = [await _read(settings, partition, fence=not dry_run) for partition in range(counts[changelog])]
        tasks = _restored(settings, rules, read)
        before = len(tasks.cores) or counts[source]
        after = wanted or max(counts[source], before)
        _require_growth(counts[source], before, after)
        plan = Repartitioned(before, after, grown=tuple(n for n in (changelog, forwarded, source) if counts[n] < after))
        cuts: list[tuple[int, Cut]] = []
        if tasks.cores and before < after:
            await _require_read(settings, tasks, before)
            _require_homes(settings, tasks.cores)
            cuts, plan = _moved(settings, rules, tasks.cores, plan)
        if dry_run:
            return plan
        await _grow(admin, [name for name in plan.grown if name != source], after)
        if cuts:
            await _require_no_members(admin, settings)
            await _write(settings, cuts, counts | dict.fromkeys((changelog, forwarded), after))
        # The input comes last: producers use its new partitions at once.
        await _grow(admin, [name for name in plan.grown if name == source], after)
    return plan


async def _require_no_members(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    (answer,) = await admin.describe_consumer_groups([settings.application_id])
    members = sum(len(group[5]) for group in answer.groups)
    if members:
        raise ConfigError(
            f"{members} workers of application_id = {settings.application_id} are running; stop all of them first, wait for"
            " their clean end, and run this again"
        )


async def _read(settings: Settings, partition: int, *, fence: bool) -> Restored:
    """The state of a task; a worker that comes back meanwhile can write nothing that this has not read."""
    options = client_options(settings)
    if fence:
        transactor = Transactor(settings, options, str(partition), settings.application_id)
        try:
            async with asyncio.timeout(FENCE_TIMEOUT_S):
                await transactor.open()
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"task {partition}: no broker coordinates its transactions for {FENCE_TIMEOUT_S:g} s; see the leaders of"
                " __transaction_state, and run this again"
            ) from error
        finally:
            await transactor.close()
    return await read_changelog(options, settings.changelog_topic, partition)


def _restored(settings: Settings, rules: Sequence[Rule], read: Sequence[Restored]) -> _Tasks:
    """The tasks of the partition count that their positions name; none where no task ever committed anything."""
    positions = {
        number: unpack_position(found.state[POSITION_KEY])
        for number, found in enumerate(read)
        if POSITION_KEY in found.state
    }
    known = {position.partitions for position in positions.values()}
    if len(known) > 1 or (known and max(positions) >= max(known)):
        raise StateIncompatible(
            f"the tasks of {settings.changelog_topic} were made for different numbers of partitions ({sorted(known)}); restore"
            " the topic from a backup, or choose a new application_id"
        )
    cores = [
        ModuleCore(settings.core(), rules, partition=number, partitions=count)
        for count in known
        for number in range(count)
    ]
    for core, found in zip(cores, read, strict=False):
        core.restore(found.state)
    return _Tasks(cores, positions)


def _require_growth(source: int, before: int, after: int) -> None:
    least = max(source, before)
    if after < least:
        raise ConfigError(
            f"--partitions {after}: the application has {before} partitions and the input has {source}; Kafka takes no"
            f" partition away, so ask for at least {least}"
        )


async def _require_read(settings: Settings, tasks: _Tasks, before: int) -> None:
    """No task is so far behind that its events would be late in windows that the others have sealed."""
    source = settings.topics.module_log_events
    partitions = [TopicPartition(source, number) for number in range(before)]
    consumer = SpanConsumer(**client_options(settings), group_id=settings.application_id, enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.high_watermarks(partitions)
        committed = {tp: await consumer.committed(tp) for tp in partitions}
    finally:
        await consumer.stop()
    windows = settings.core().windows
    keep_ms = windows.grace_ms + windows.corrections_ms
    newest_ms = max((core.stream_ms for core in tasks.cores if core.stream_ms is not None), default=0)
    for tp, core in zip(partitions, tasks.cores, strict=True):
        check_not_behind(str(tp.partition), source, core.offsets.get(source), committed[tp])
        behind_ms = newest_ms - (newest_ms if core.stream_ms is None else core.stream_ms)
        left = ends[tp] - core.offsets.get(source, 0)
        if left > 0 and behind_ms > keep_ms:
            raise ConfigError(
                f"{source}/{tp.partition} has {left} records to be read and is {behind_ms} ms behind the others, more than"
                " windows.grace + windows.corrections, so its events would be late: let the workers read to the end before"
            )


def _require_homes(settings: Settings, cores: Sequence[ModuleCore]) -> None:
    found = misplaced(cores)
    if not found:
        return
    named = ", ".join(f"{one.module_id} in {one.partition} (its id belongs to {one.home})" for one in found[:_NAMED])
    raise ConfigError(
        f"{len(found)} modules do not live in the partition of their id: {named}; their producers hash keys in another way, so"
        f' nobody can tell where they will send them. Run the workers with repartition = "always" until these modules have'
        f" expired (state.module_expiry = {settings.state.module_expiry} ms), then run this again"
    )


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
        await admin.create_partitions({name: NewPartitions(partitions) for name in names})
        await wait_until_visible(admin, names, partitions)
        log.info("partitions added", topics=list(names), partitions=partitions)


async def _write(settings: Settings, cuts: Sequence[tuple[int, Cut]], counts: dict[str, int]) -> None:
    """Everything in one transaction: the last words of the old tasks, then the new ones."""
    addresses = Addresses(settings)
    producer = AIOKafkaProducer(
        **client_options(settings),
        transactional_id=f"{settings.application_id}-repartitioning",
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=16 << 20,
        linger_ms=0,
    )
    await producer.start()
    try:
        attempt = Attempt(producer)
        async with producer.transaction():
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
