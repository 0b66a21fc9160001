"""A worker that was away: three hours of events at once. All are counted, and memory stays where it was."""

import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from bench.rig.workload import COMPRESSION, Workload, load
from tests.faults.broker import Brokers
from tests.faults.crew import Application, Crew
from tests.faults.judge.reader import streamed
from tests.faults.outcome import Report
from tests.faults.strikes.limits import bounded, joined, memory_mib
from tests.faults.strikes.waiting import until
from tests.faults.strikes.watch import Watch
from topology.settings import Settings, load_settings

NAME = "3,000,000 events of backlog"
UNCOMPRESSED = "the same, uncompressed"
ABOUT = (
    "3 hours of 500 modules at once, default windows, one worker: after a million to warm up, memory over the other two does not"
    " grow by more than 10 % from half to half"
)
# Three hours of event time: what is kept for corrections and suppression (10 min) comes and goes many times.
WORKLOAD = Workload(events=3_000_000, modules=500, partitions=4, span_s=10_800)
BASE = "30s", 30_000
GROWTH = 1.10
# 510 MiB, and a quarter more.
MAX_RSS_MIB = 640
# Five minutes of event time, so that nothing but the fetches is large: 320 MiB, and a quarter more. Fetches that only a garbage
# collection frees are told by it: they took 962.
SHORT_SPAN_S, SHORT_MAX_RSS_MIB = 300, 400
SAMPLE_S = 0.1
LEAST_SAMPLES = 10
# Until the state, what waits for a transaction and the allocator are as large as they get, however quick the worker is.
WARM_UP = 1_000_000
# The default windows want the default rules; those of the harness are about windows of a second.
DEFAULTS = {"topics__partitions": str(WORKLOAD.partitions), "alerts__rules_file": ""}
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """How much memory the worker had when so many events were left."""

    left: int
    mib: int


def settings_of(application: Application) -> Settings:
    """The application's settings as the benchmark's loader takes them."""
    return load_settings(Path("/dev/null"), environ=application.environment())


def make(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Load the topic, start a worker, look at its memory until it has caught up, and count."""
    workload = replace(WORKLOAD, seed=seed)
    return _make(brokers, directory, Report(NAME, ABOUT), workload, COMPRESSION, MAX_RSS_MIB)


def make_uncompressed(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Three times as many fetches for as many events: what is fetched and not parsed must not pile up."""
    workload = replace(WORKLOAD, seed=seed, span_s=SHORT_SPAN_S)
    about = f"3,000,000 events of {SHORT_SPAN_S} s, not compressed: memory is bounded in bytes, whatever the codec"
    return _make(brokers, directory, Report(UNCOMPRESSED, about), workload, None, SHORT_MAX_RSS_MIB, grows=True)


def _make(
    brokers: Brokers,
    directory: Path,
    report: Report,
    workload: Workload,
    compression: str | None,
    most_mib: int,
    *,
    grows: bool = False,
) -> Report:
    began = time.monotonic()
    application = Application(brokers.direct, directory, DEFAULTS)
    loaded = load(settings_of(application), workload, compression)
    samples, rate = _process(application, report, workload)
    report.events = workload.events
    report.worst_lag = workload.events
    _compare(application, report, workload)
    report.figures.append(f"Loaded in {loaded.seconds:.0f} s, processed at {rate:,.0f} events/s")
    if grows:  # its ids are all remembered to the end
        peak = max(sample.mib for sample in samples)
        report.figures.append(f"Peak memory {peak} MiB of {most_mib} allowed")
        bounded(report, peak, most_mib)
    else:
        _judge_memory(report, samples, workload.events)
    report.seconds = time.monotonic() - began
    return report


def _judge_memory(report: Report, samples: list[Sample], events: int) -> None:
    """After the warm-up, neither the highest nor the usual value may rise by more than a tenth from half to half."""
    middle = (events - WARM_UP) // 2
    first = [sample.mib for sample in samples if middle <= sample.left < events - WARM_UP]
    second = [sample.mib for sample in samples if 0 < sample.left < middle]
    if min(len(first), len(second)) < LEAST_SAMPLES:
        report.void = f"memory was looked at {len(first)} and {len(second)} times in the two halves"
        return
    usual = statistics.median(first), statistics.median(second)
    most = max(first), max(second)
    memory = (
        f"Memory in the two halves: usually {usual[0]:.0f} and {usual[1]:.0f} MiB, at most {most[0]} and {most[1]} MiB of"
        f" {MAX_RSS_MIB} allowed"
    )
    report.figures.append(memory)
    if most[1] > most[0] * GROWTH or usual[1] > usual[0] * GROWTH:
        report.failure = f"it grew: {memory}"
    bounded(report, max(most), MAX_RSS_MIB)


def _process(application: Application, report: Report, workload: Workload) -> tuple[list[Sample], float]:
    watch = Watch(application.servers, application.name, application.input, workload.partitions)
    samples: list[Sample] = []
    done = threading.Event()
    with Crew(application) as crew:
        worker = crew.add()

        def look() -> None:
            while not done.wait(SAMPLE_S):
                left = watch.lag
                if left is not None and worker.process is not None:
                    samples.append(Sample(left, memory_mib(worker)))

        looking = threading.Thread(target=look, name="memory")
        try:
            watch.start()
            looking.start()
            joined(crew, worker)
            began = time.monotonic()
            until(lambda: watch.caught_up(began), "everything processed")
            took = time.monotonic() - began
        finally:
            done.set()
            watch.end()
            if looking.ident is not None:
                looking.join()
        codes = crew.stop_all()
        if codes != [0] or crew.own_ends:
            report.unexpected_ends += 1
            report.remarks.append(f"exit codes {codes}, {crew.own_ends[:1]}")
    return samples, workload.events / took


def _compare(application: Application, report: Report, workload: Workload) -> None:
    """Events, failures and the largest latency of every smallest window, exactly."""
    name, size = BASE
    events: Counter[Key] = Counter()
    failures: Counter[Key] = Counter()
    largest: dict[Key, float] = {}
    total = 0
    for record in streamed(application.servers, application.input):
        event = orjson.loads(record.value)
        key = event["module_id"], event["timestamp"] // size * size
        events[key] += 1
        failures[key] += not event["success"]
        largest[key] = max(largest.get(key, 0.0), event["response_time_ms"])
        total += 1
    if total != workload.events:
        raise RuntimeError(f"{total} of {workload.events} events were loaded")
    newest: dict[Key, tuple[int, int, int, float]] = {}
    for record in streamed(application.servers, application.topic("module_metrics")):
        said = orjson.loads(record.value)
        key = said["module_id"], said["window_start"]
        if said["window"] == name and said["revision"] > newest.get(key, (0,))[0]:
            figures = said["total_requests"], said["failed_requests"], said["response_time_ms"]["max"]
            newest[key] = (said["revision"], *figures)
    findings = report.findings
    findings.windows = len(events)
    for key, count in events.items():
        _, said_count, failed, most = newest.pop(key, (0, 0, 0, 0.0))
        findings.lost += max(count - said_count, 0)
        findings.doubled += max(said_count - count, 0)
        if (said_count, failed, most) != (count, failures[key], largest[key]):
            findings.wrong += 1
            findings.note(f"{key}: {said_count, failed, most}, truly {count, failures[key], largest[key]}")
    findings.wrong += len(newest)
