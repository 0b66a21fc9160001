"""What a fleet of 1,000,000 events/s needs, computed from what one worker was measured to take and to write.

What a worker takes comes from a backlog; what it writes from a steady load of a minute, because it depends on the modules and
the flushes and hardly on the events.
"""

import asyncio
import math
import secrets
import sys
import time
from dataclasses import dataclass

from bench.report.catalog import MAIN, PROGRAMS, worker_command
from bench.report.progress import Task
from bench.rig.arena import LOGS, Arena
from bench.rig.measure import Running, VoidError
from bench.rig.workload import Loaded, Workload, remove_topics
from pipeline.config import Limits, WindowConfig
from pipeline.ingest.dedup import MAX_LOAD, SLOT_BYTES
from topology.consumer.fetch import SpanConsumer
from topology.kafka.topic_admin import create_topics
from topology.settings import Settings

FLEET = 1_000_000
FLEET_MODULES = 10_000
# Of what one worker can take: the rest is for catching up after a restart.
LOAD_SHARE = 0.6
_PARTITIONS_PER_WORKER = 2
_STEADY_RATE, _STEADY_S, _START_S = 10_000, 60.0, 10.0
_MIB, _GIB = 1 << 20, 1 << 30
_WINDOWS = WindowConfig()
# How the changelog's keys of remembered ids begin.
_IDS = b"ids|"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to some topics: bytes of keys and values in all, and of the newest record of each key.

    Attributes:
        ids: the part of `total` that is remembered event ids; newest_ids: likewise of `newest`.
    """

    total: int
    newest: int
    ids: int = 0
    newest_ids: int = 0


@dataclass(frozen=True, slots=True)
class Steady:
    """What a worker did under a small steady load, in which nearly all work is that of its records.

    Attributes:
        cores: CPU seconds a second.
    """

    outputs: Written
    changelog: Written
    cores: float


def fleet(place: Arena, base: Workload) -> str:
    """The paragraph.

    Raises:
        VoidError: a run lost events.
    """
    loaded = place.load(base)
    outcome = place.run(next(program for program in PROGRAMS if program.name == MAIN), loaded)
    return text(outcome.rate, outcome.cpu_per_million, loaded, _steady(place, base))


def text(rate: float, cpu_per_million: float, loaded: Loaded, steady: Steady) -> str:
    """What follows from the measured costs.

    A worker is busy with events, of which it takes so many from a backlog, and with the records of its modules, which it writes
    at every flush however many events there are. Both add up; a main thread has one core.
    """
    per_module = FLEET_MODULES / loaded.workload.modules
    outputs, changelog = steady.outputs, steady.changelog
    event_cores = FLEET / 1e6 * cpu_per_million
    record_cores = (steady.cores - _STEADY_RATE / 1e6 * cpu_per_million) * per_module
    workers = math.ceil((FLEET / rate + record_cores) / LOAD_SHARE)
    partitions = workers * _PARTITIONS_PER_WORKER
    more_events = FLEET / _STEADY_RATE
    outputs_mib = outputs.total * per_module / _STEADY_S / _MIB
    windows_mib = (changelog.total - changelog.ids) * per_module / _STEADY_S / _MIB
    ids_mib = changelog.ids * more_events / _STEADY_S / _MIB
    limit = Limits().max_dedup_ids_per_pane
    wanted = FLEET / partitions * _WINDOWS.base_ms / 1000
    enough = "is enough" if wanted <= limit else "is too little: raise it, or take more partitions"
    kept_s = (_WINDOWS.base_ms + _WINDOWS.grace_ms + _WINDOWS.corrections_ms) / 1000
    # A table is between half and wholly as full as it may be.
    ids_gib = FLEET * kept_s * SLOT_BYTES / MAX_LOAD / _GIB
    return (
        f"One worker took {rate:,.0f} events/s from a backlog, at {cpu_per_million:.2f} CPU seconds per million events, and"
        f" {steady.cores:.2f} cores for {_STEADY_RATE:,.0f} events/s of {loaded.workload.modules:,} modules, nearly all of it"
        f" for their records. {FLEET:,} events/s of {FLEET_MODULES:,} modules are {event_cores:.1f} cores of events and"
        f" {record_cores:.1f} of records; a worker's main thread {LOAD_SHARE:.0%} busy, so that it can catch up after a restart,"
        f" that is **{workers} workers** and, with {_PARTITIONS_PER_WORKER} partitions for each, **{partitions} partitions**. A"
        " longer `flush_interval` makes the records fewer. The brokers take in"
        f" **{FLEET * loaded.bytes_per_event / _MIB:,.0f} MiB/s** of events ({loaded.bytes_per_event:.0f} bytes each) and from"
        f" the workers **{outputs_mib:,.1f} MiB/s** of outputs, **{windows_mib:,.1f} MiB/s** of window state and"
        f" **{ids_mib:,.1f} MiB/s** of remembered ids, all before compression and replication. Outputs and window state grow"
        " with modules and flushes, remembered ids with events. The window state after"
        f" {_STEADY_S:.0f} s is {(changelog.newest - changelog.newest_ids) * per_module / _MIB:,.0f} MiB for all modules."
        f" Events with an `event_id` are remembered for {kept_s:,.0f} s: {FLEET * kept_s:,.0f} ids in all workers,"
        f" **{ids_gib:,.0f} to {2 * ids_gib:,.0f} GiB** of memory, less with a shorter `windows.corrections`. A partition then"
        f" has {wanted:,.0f} ids in a base pane; `dedup.max_ids_per_pane` ({limit:,} by default) {enough}.\n"
    )


def _steady(place: Arena, base: Workload) -> Steady:
    run = f"bench-{secrets.token_hex(4)}"
    environment = place.settings(run, f"{run}-input", base.partitions)
    settings = place.read(environment)
    asyncio.run(create_topics(settings, dry_run=False))
    topic, events = settings.topics.module_log_events, int(_STEADY_RATE * _STEADY_S)
    task = Task(place.bootstrap_servers, topic, base.partitions, events, run, 0, 0)
    load = {"BENCH_RATE": str(_STEADY_RATE), "BENCH_SECONDS": str(_STEADY_S), "BENCH_MODULES": str(base.modules)}
    running = [Running(worker_command(), {**task.environment(), **environment}, LOGS / run / "worker.log")]
    try:
        _listen(running, _START_S)
        command = [sys.executable, "-m", "bench.programs.generator"]
        running.append(Running(command, {**task.environment(), **load}, LOGS / run / "generator.log"))
        _listen(running, _STEADY_S + _START_S)
        for program in reversed(running):
            program.stop()
        worker, generator = running
        if worker.verified is None or worker.verified != generator.verified:
            raise VoidError(f"{worker.verified} of {generator.verified} events applied: {worker.tail()}")
        outcome = worker.outcome()
        return Steady(*asyncio.run(_read_back(settings)), outcome.cpu_s / outcome.seconds)
    finally:
        for program in running:
            program.kill()
        asyncio.run(remove_topics(place.bootstrap_servers, run))


def _listen(running: list[Running], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for program in running:
            program.listen()


async def _read_back(settings: Settings) -> tuple[Written, Written]:
    topics = settings.topics
    published = (topics.module_metrics, topics.system_metrics, topics.module_alerts, topics.health_status)
    outputs = (*published, settings.partials_topic)
    changelogs = (settings.changelog_topic, settings.system_changelog_topic)
    return await _written(settings, outputs), await _written(settings, changelogs)


async def _written(settings: Settings, topics: tuple[str, ...]) -> Written:
    consumer = SpanConsumer(
        *topics,
        bootstrap_servers=settings.kafka.servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    total, ids, newest = 0, 0, {}
    await consumer.start()
    try:
        quiet = 0
        while quiet < 3:  # three empty answers: the end
            found = await consumer.getmany(timeout_ms=500)
            quiet = 0 if found else quiet + 1
            for partition, spans in found.items():
                for span in spans:
                    for piece in span.pieces(1 << 20):
                        for key, value in zip(piece.keys, piece.values, strict=True):
                            size = len(key or b"") + len(value or b"")
                            total += size
                            ids += size if (key or b"").startswith(_IDS) else 0
                            newest[partition.topic, partition.partition, key] = size if value is not None else 0
    finally:
        await consumer.stop()
    newest_ids = sum(size for (_, _, key), size in newest.items() if (key or b"").startswith(_IDS))
    return Written(total, sum(newest.values()), ids, newest_ids)
