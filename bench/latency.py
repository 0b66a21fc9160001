"""`python -m bench.latency`: how long after its event a record is there, at several loads and flush intervals.

Some modules of our own ("probes") send a few events a second beside a steady load. For each of these events it is known which
request of its window it is, so the first record that counts as many requests is the first one that holds it. All times are
taken by one process: when it made the event, and when a `read_committed` consumer gave it the record.

- event to provisional: to the first record of the 30 s window that counts the event.
- window end to final: of every module, probes and load. It cannot be less than the grace.
- crossing to alert: the probes fail in every second window. A rule sees a window when it is final, so the crossing is known at
  window end + grace in event time; from there to the alert on its topic, firing or resolved.
"""

import argparse
import asyncio
import logging
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from bench.__main__ import say, warn_if_busy
from bench.report.catalog import MAIN, PROGRAMS, worker_command
from bench.report.progress import Task
from bench.report.tables import markdown, taken, write_section
from bench.rig.arena import LOGS, Arena, arena
from bench.rig.machine import description
from bench.rig.measure import Running, VoidError
from bench.rig.workload import Loaded, Workload
from pipeline.config import WindowConfig
from pipeline.partitioner import partition_of
from schemas.alerts import Alert
from topology.consumer.fetch import Span, SpanConsumer
from topology.kafka.topic_admin import create_topics
from topology.settings import Settings

PROBES = 50
PROBE_EVERY_S = 0.25
MODULES = 500
SHARES = (0.1, 0.5, 0.8)
# The first is the default: it is measured at every load.
INTERVALS_MS = (Settings().flush_interval, 1_000, 50)
_HALF = 0.5
# The group settles and the first windows are not whole.
_WARM_S = 5.0
_READY_S = 60.0
# A generator that is asked for more than it can make: long enough for a rate.
_FLOOD_S = 20.0
_WINDOWS = WindowConfig()


class _Record(msgspec.Struct, gc=False):
    """What is read of a record of `module-metrics`."""

    module_id: str
    window: str
    window_start: int
    window_end: int
    status: str
    total_requests: int


_record = msgspec.json.Decoder(_Record).decode
_alert = msgspec.json.Decoder(Alert).decode


@dataclass(slots=True)
class Samples:
    """Latencies, seconds."""

    provisional: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    alert: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Setting:
    """One run: the load as a share of the maximum, and the flush interval."""

    share: float
    flush_ms: int


@dataclass(slots=True)
class _Watch:
    """What was sent by the probes, and what came back.

    Attributes:
        sent: event times of each (module, window start), in order of sending.
        seen: how many of them were already found in a record.
        transitions: alerts already seen, by fingerprint and the end of the window that made the difference.
        begin_ms: windows that begin before do not count.
    """

    samples: Samples = field(default_factory=Samples)
    sent: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    seen: dict[tuple[str, int], int] = field(default_factory=dict)
    transitions: set[tuple[str, int]] = field(default_factory=set)
    begin_ms: int = 0

    def metrics(self, value: bytes, now: float) -> None:
        """A record of `module-metrics`."""
        base = _WINDOWS.sizes[0][0]
        is_final = b'"final"' in value
        if not is_final and b'"probe-' not in value:
            return
        record = _record(value)
        if record.window != base or record.window_start < self.begin_ms:
            return
        if record.status == "final":
            self.samples.final.append(now - record.window_end / 1000)
        key = record.module_id, record.window_start
        times = self.sent.get(key)
        if times is None:
            return
        before = self.seen.get(key, 0)
        self.samples.provisional += [now - sent_ms / 1000 for sent_ms in times[before : record.total_requests]]
        self.seen[key] = max(before, record.total_requests)

    def alerts(self, value: bytes, now: float) -> None:
        """A record of `module-alerts`: of the rule on base windows, each transition once."""
        alert = _alert(value)
        window_end = alert.starts_at if alert.ends_at is None else alert.ends_at
        transition = alert.fingerprint, window_end
        if alert.alertname == "ErrorBurst" and window_end > self.begin_ms and transition not in self.transitions:
            self.transitions.add(transition)
            self.samples.alert.append(now - (window_end + _WINDOWS.grace_ms) / 1000)


async def probe(watch: _Watch, bootstrap_servers: str, topic: str, partitions: int, seconds: float) -> int:
    """Send the probes' events for so long; answers how many. They fail in every second window."""
    names = [f"probe-{number:03d}" for number in range(PROBES)]
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=0, enable_idempotence=True)
    await producer.start()
    count, began = 0, time.monotonic()
    try:
        while time.monotonic() - began < seconds:
            for name in names:
                now_ms = time.time_ns() // 1_000_000
                start_ms = now_ms - now_ms % _WINDOWS.base_ms
                ok = b"false" if start_ms // _WINDOWS.base_ms % 2 else b"true"
                value = b'{"module_id":"%b","timestamp":%d,"success":%b,"response_time_ms":10.5,"event_id":"probe-%d"}' % (
                    name.encode(), now_ms, ok, count,
                )  # fmt: skip
                watch.sent.setdefault((name, start_ms), []).append(now_ms)
                key = name.encode()
                await producer.send(topic, value=value, key=key, partition=partition_of(key, partitions))
                count += 1
                await asyncio.sleep(PROBE_EVERY_S / PROBES)
    finally:
        await producer.stop()
    return count


async def read(watch: _Watch, bootstrap_servers: str, metrics: str, alerts: str) -> None:
    """Take in what the worker publishes, until cancelled."""
    consumer = SpanConsumer(
        metrics,
        alerts,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        while True:
            for partition, spans in (await consumer.getmany(timeout_ms=100)).items():
                now = time.time()
                take = watch.metrics if partition.topic == metrics else watch.alerts
                for span in spans:
                    assert isinstance(span, Span)
                    for piece in span.pieces(1 << 20):
                        for value in piece.values:
                            if value is not None:
                                take(value, now)
            await asyncio.sleep(0)
    finally:
        await consumer.stop()


async def _ready(bind: str, worker: Running) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            await asyncio.to_thread(urllib.request.urlopen, f"http://{bind}/readyz", None, 2)
            return
        except (urllib.error.URLError, OSError) as problem:
            if not worker.alive or time.monotonic() > deadline:
                raise VoidError(f"the worker is not ready: {worker.tail()}") from problem
        await asyncio.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Result:
    """One run: what was asked for, the load really offered, and the latencies.

    Attributes:
        kept: events/s that were made and processed while both went on: the lesser of the two rates.
    """

    setting: Setting
    offered: float
    kept: float
    samples: Samples


async def once(place: Arena, setting: Setting, rate: float, seconds: float) -> Result:
    """One worker, one steady load, the probes.

    Raises:
        VoidError: the worker did not become ready or lost events.
    """
    run = f"bench-{secrets.token_hex(4)}"
    partitions = Workload().partitions
    environment = place.settings(run, f"{run}-input", partitions)
    environment["MODPULSE_FLUSH_INTERVAL"] = f"{setting.flush_ms}ms"
    settings = place.read(environment)
    await create_topics(settings, dry_run=False)
    topic = settings.topics.module_log_events
    events = int(rate * seconds)
    task = Task(place.bootstrap_servers, topic, partitions, events, run, _WINDOWS.base_ms, _WINDOWS.grace_ms)
    load = {"BENCH_RATE": str(rate), "BENCH_SECONDS": str(seconds), "BENCH_MODULES": str(MODULES)}
    watch = _Watch()
    worker = Running(worker_command(), {**task.environment(), **environment}, LOGS / run / "worker.log")
    generator: Running | None = None
    try:
        await _ready(environment["MODPULSE_METRICS__BIND"], worker)
        topics = settings.topics
        reading = asyncio.ensure_future(
            read(watch, place.bootstrap_servers, topics.module_metrics, topics.module_alerts)
        )
        generator = Running(
            [sys.executable, "-m", "bench.programs.generator"],
            {**task.environment(), **load},
            LOGS / run / "generator.log",
        )
        now_ms = int((time.time() + _WARM_S) * 1000)
        watch.begin_ms = now_ms - now_ms % _WINDOWS.base_ms + _WINDOWS.base_ms
        probes = await probe(watch, place.bootstrap_servers, topic, partitions, seconds)
        await asyncio.sleep(_WARM_S)
        reading.cancel()
        await asyncio.wait([reading])
        await asyncio.to_thread(generator.stop)
        await asyncio.to_thread(worker.stop)
    finally:
        worker.kill()
        if generator is not None:
            generator.kill()
    if generator.verified is None or worker.verified != generator.verified + probes:
        raise VoidError(f"{worker.verified} events applied; generator: {generator.tail()}; worker: {worker.tail()}")
    offered = generator.outcome().rate
    return Result(setting, offered, min(offered, worker.outcome().rate), watch.samples)


def main() -> int:
    """Measure and write the section of README.md."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description="Latency at several loads.")
    parser.add_argument(
        "--seconds", type=float, default=100.0, help="of each run; two windows must close (default 100)"
    )
    parser.add_argument("--events", type=int, default=Workload().events, help="of the runs that find the maximum")
    parser.add_argument("--rounds", type=int, default=3, help="of the runs that find the maximum (default 3)")
    parser.add_argument("--all", action="store_true", help="every flush interval at every load")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    machine = description()
    warn_if_busy()
    with arena() as place:
        loaded = place.load(Workload(events=asked.events))
        most = {interval: _backlog(place, loaded, interval, asked.rounds) for interval in INTERVALS_MS}
        flood = uvloop.run(once(place, Setting(1.0, INTERVALS_MS[0]), most[INTERVALS_MS[0]], _FLOOD_S))
        say(f"at most {flood.kept:,.0f} events/s made, stored and processed at once")
        results = []
        for setting in _settings(every=asked.all):
            rate = flood.kept * setting.share
            result = uvloop.run(once(place, setting, rate, asked.seconds))
            results.append(result)
            say(f"{setting.share:.0%} load, flush {setting.flush_ms} ms: {_cells(result)}")
    table = _table(results, most, flood.kept)
    print(f"\n{table}")
    write_section("latency", f"{table}\n{taken(' '.join(['python -m bench.latency', *sys.argv[1:]]), machine)}")
    return 0


def _settings(*, every: bool) -> list[Setting]:
    first = INTERVALS_MS[0]
    if every:
        return [Setting(share, interval) for interval in INTERVALS_MS for share in SHARES]
    return [Setting(share, first) for share in SHARES] + [Setting(_HALF, interval) for interval in INTERVALS_MS[1:]]


def _backlog(place: Arena, loaded: Loaded, interval_ms: int, rounds: int) -> float:
    program = next(program for program in PROGRAMS if program.name == MAIN)
    more = {"MODPULSE_FLUSH_INTERVAL": f"{interval_ms}ms"}
    rate = median(place.run(program, loaded, more).rate for _ in range(rounds))
    say(f"flush {interval_ms} ms: at most {rate:,.0f} events/s from a backlog")
    return rate


def _cells(result: Result) -> list[str]:
    samples = result.samples
    return [
        f"{result.offered:,.0f}",
        *(quantiles(values) for values in (samples.provisional, samples.final, samples.alert)),
        " / ".join(str(len(values)) for values in (samples.provisional, samples.final, samples.alert)),
    ]


def quantiles(seconds: Sequence[float]) -> str:
    """p50 / p99 / max in milliseconds."""
    if not seconds:
        return "no sample"
    ordered = sorted(seconds)
    chosen = [ordered[int(q * (len(ordered) - 1))] for q in (0.5, 0.99, 1.0)]
    return " / ".join(f"{value * 1000:,.0f}" for value in chosen)


def _table(results: Sequence[Result], most: dict[int, float], kept: float) -> str:
    head = (
        "load", "flush_interval", "most events/s from a backlog", "offered events/s", "event to provisional, ms",
        "window end to final, ms", "crossing to alert, ms", "samples",
    )  # fmt: skip
    body = [
        [f"{r.setting.share:.0%}", f"{r.setting.flush_ms} ms", f"{most[r.setting.flush_ms]:,.0f}", *_cells(r)]
        for r in results
    ]
    note = (
        f"Each cell: p50 / p99 / max. The load is a share of {kept:,.0f} events/s: the most that could be made, stored and"
        " processed at once, for generator and broker are on the same cores as the worker, which takes more from a backlog."
        " Grace is "
        f"{_WINDOWS.grace_ms / 1000:g} s: no final record can be earlier. The alert counts from window end + grace.\n"
    )
    return f"{markdown(head, body)}\n{note}"


if __name__ == "__main__":
    sys.exit(main())
