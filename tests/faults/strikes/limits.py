"""Limits: a million module names, and a batch that expands a thousandfold. Nothing is lost, and memory stays bounded."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from tests.faults.broker import Brokers
from tests.faults.crew import Application, Crew, Worker
from tests.faults.judge.reader import read
from tests.faults.outcome import Report
from tests.faults.run import SETTINGS
from tests.faults.strikes.waiting import DEADLINE_S, POLL_S, until
from tests.faults.strikes.watch import Watch
from tests.faults.traffic import wall_ms

MODULES = 1_000_000
OTHER = "__other__"
# 410 to 452 MiB at 1,000,000 names, with the compiled part and without, and a quarter more.
MAX_RSS_MIB = 550
MILLION, BOMB = "1,000,000 distinct modules", "a batch that expands 1000:1"
BOMB_BATCHES, BOMB_RECORDS, BOMB_BYTES = 4, 100, 1 << 20


def million_modules(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Every event has a module name of its own: those over the limit are counted under `__other__`, none is lost."""
    report = Report(MILLION, "over the limit of 2,000 a partition they are counted in `__other__`")
    began = time.monotonic()
    settings = SETTINGS | {"flush_interval": "500ms", "windows__corrections": "1m"}
    application = Application(brokers.direct, directory, settings)
    application.create_topics()

    def rows() -> Iterable[tuple[bytes, bytes]]:
        start = wall_ms() - 10_000
        for number in range(MODULES):
            module = f"m{seed}-{number}"
            event = {"module_id": module, "timestamp": start + number // 400, "success": True, "response_time_ms": 1.0}
            yield module.encode(), orjson.dumps(event)

    published = time.monotonic()
    peak = _process(application, report, rows(), {"compression.type": "lz4"})
    seconds = time.monotonic() - published
    newest = newest_seconds(application)
    total = sum(said["total_requests"] for said in newest.values())
    other = sum(said["total_requests"] for (module, _), said in newest.items() if module == OTHER)
    report.events = MODULES
    report.findings.lost += max(MODULES - total, 0)
    report.findings.doubled += max(total - MODULES, 0)
    report.findings.windows = len(newest)
    report.figures.append(
        f"{other:,} events under {OTHER}, published and processed in {seconds:.0f} s, peak memory {peak} MiB of {MAX_RSS_MIB}"
        " allowed"
    )
    if total != MODULES:
        report.findings.note(f"{total} of {MODULES} events counted, {other} of them under {OTHER}")
    bounded(report, peak, MAX_RSS_MIB)
    report.seconds = time.monotonic() - began
    return report


def expanding_batch(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Gzip batches within the topic's limit that hold a thousand times their size: one dead letter each, and a living worker.

    Several in one fetch, for parsing goes ahead of processing.
    """
    about = f"{BOMB_BATCHES} gzip batches of 0.1 MiB with {BOMB_RECORDS} MiB in each: one dead letter a batch, the worker lives"
    report = Report(BOMB, about)
    began = time.monotonic()
    application = Application(brokers.direct, directory, SETTINGS | {"topics__partitions": "1"})
    application.create_topics()
    value = b"{" + b" " * (BOMB_BYTES - 2) + b"}"
    properties = {
        "compression.type": "gzip",
        "compression.level": 9,
        "linger.ms": 5_000,
        "batch.size": 1 << 30,
        "batch.num.messages": BOMB_RECORDS,
        "message.max.bytes": 1 << 29,
        "queue.buffering.max.kbytes": 1 << 20,
    }
    sent = BOMB_BATCHES * BOMB_RECORDS
    _publish(application, ((b"m", value) for _ in range(sent)), properties)
    peak = _process(application, report, (), {})
    letters = read(application.servers, application.topic("dlq"))
    report.events = sent
    places = [(dict(letter.headers), letter.key) for letter in letters]
    records = sum(int(said[b"modpulse.errors.records"] or b"") for said, _ in places)
    report.findings.lost += max(sent - records, 0)
    report.findings.doubled += max(records - sent, 0)
    report.findings.wrong += abs(len(letters) - BOMB_BATCHES)
    report.findings.wrong += sum((said[b"modpulse.errors.reason"], key) != (b"too_large", b"") for said, key in places)
    report.figures.append(f"Peak memory {peak} MiB of {MAX_RSS_MIB} allowed")
    bounded(report, peak, MAX_RSS_MIB)
    report.seconds = time.monotonic() - began
    return report


def _process(
    application: Application, report: Report, rows: Iterable[tuple[bytes, bytes]], properties: dict[str, Any]
) -> int:
    """Publish the rows to one worker and wait until all is processed; answers its peak memory, MiB."""
    partitions = len(_partitions(application))
    watches = [
        Watch(application.servers, application.name, topic, partitions)
        for topic in (application.input, f"{application.name}-repartition")
    ]
    with Crew(application) as crew:
        worker = crew.add()
        joined(crew, worker)
        for watch in watches:
            watch.start()
        try:
            _publish(application, rows, properties)
            # Input first: what was forwarded stands in the repartition topic by then.
            for watch in watches:
                ended = time.monotonic()
                until(lambda w=watch, e=ended: w.caught_up(e), "everything processed")  # type: ignore[misc]
            peak = memory_mib(worker, peak=True)
        finally:
            for watch in watches:
                watch.end()
        codes = crew.stop_all()
        report.worst_lag = watches[0].worst_lag
        if codes != [0] or crew.own_ends:
            report.unexpected_ends += 1
            report.remarks.append(f"exit codes {codes}, {crew.own_ends[:1]}")
    return peak


def _partitions(application: Application) -> list[int]:
    from tests.faults.judge.reader import consumer, partitions_of

    reader = consumer(application.servers)
    try:
        return partitions_of(reader, application.input)
    finally:
        reader.close()


def _publish(application: Application, rows: Iterable[tuple[bytes, bytes]], properties: dict[str, Any]) -> None:
    refused: list[str] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            refused.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": application.servers,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 2_000_000,
            "log_level": 0,
            **properties,
        }
    )
    for number, (key, value) in enumerate(rows):
        while True:
            try:
                producer.produce(application.input, value, key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(POLL_S)
        if number % 1_000 == 0:
            producer.poll(0)
    left = producer.flush(DEADLINE_S)
    if left or refused:
        raise RuntimeError(f"{left} not delivered, {len(refused)} refused: {refused[:1]}")


def joined(crew: Crew, worker: Worker) -> None:
    """Wait until it has its tasks.

    Raises:
        RuntimeError: it says that it cannot work so.
    """
    until(lambda: worker.assigned is not None or crew.refused, "the worker joined")
    if crew.refused:
        raise RuntimeError(f"the worker refuses: {crew.refusals[-1]}")


def memory_mib(worker: Worker, *, peak: bool = False) -> int:
    """The resident memory of a worker's process, now or at its highest; 0 where the system does not say."""
    assert worker.process is not None
    try:
        lines = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    name = "VmHWM" if peak else "VmRSS"
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0) // 1024


def newest_seconds(application: Application) -> dict[tuple[str, int], dict[str, Any]]:
    """The newest record of each module and second."""
    newest: dict[tuple[str, int], dict[str, Any]] = {}
    for record in read(application.servers, application.topic("module_metrics")):
        said = orjson.loads(record.value)
        if said["window"] == "1s":
            newest[said["module_id"], said["window_start"]] = said
    return newest


def bounded(report: Report, peak: int, bound: int) -> None:
    """Fail the row when its memory was beyond the bound."""
    if peak > bound:
        report.failure = f"peak memory {peak} MiB, more than {bound}"
