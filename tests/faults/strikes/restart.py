"""How long a worker with much state is away when it is killed: with and without a static name, back itself or taken over."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
import orjson

from bench.rig.workload import Workload, load
from schemas.state import CHUNK_MODULES, IdSegment, MetaChunk, ModulesChunk, SumsChunk
from tests.faults.broker import Brokers
from tests.faults.crew import Application, Crew, Worker
from tests.faults.judge.reader import streamed
from tests.faults.outcome import Report
from tests.faults.strikes.backlog import DEFAULTS, settings_of
from tests.faults.strikes.limits import joined
from tests.faults.strikes.waiting import until
from tests.faults.strikes.watch import Watch
from tests.faults.traffic import Mix, Traffic

NAME = "restart with 2,000 modules"
ABOUT = (
    "default windows, 4 partitions, 10 minutes of event ids; session timeout 6 s; the worker must process again 10 s after its"
    " start"
)
PARTITIONS = int(DEFAULTS["topics__partitions"])
# Longer than what is kept for corrections and suppression, so that all of it is there.
WORKLOAD = Workload(events=800_000, modules=2_000, partitions=PARTITIONS, span_s=900)
MAX_RESTART_S = 10.0
RESTARTS = 2
DEADLINE_S = 60.0
ALL = set(range(PARTITIONS))
KINDS = {b"sums": SumsChunk, b"meta": MetaChunk, b"modules": ModulesChunk, b"ids": IdSegment}


@dataclass(slots=True)
class Content:
    """What the changelog holds: records of each kind, and their rows: a module in a window, a module, an event id.

    Attributes:
        records, rows: of everything there, as a restore reads it. kept: rows of what is newest.
    """

    records: Counter[bytes] = field(default_factory=Counter)
    rows: Counter[bytes] = field(default_factory=Counter)
    kept: Counter[bytes] = field(default_factory=Counter)


def rows_of(kind: bytes, value: bytes) -> int:
    """How many rows a changelog record has."""
    if not value:
        return 0
    if kind not in KINDS:
        return 1
    record = msgspec.msgpack.decode(value, type=KINDS[kind])
    if isinstance(record, IdSegment):
        return len(record.ids) // 8
    return len(record.codes) if isinstance(record, SumsChunk) else len(record.codes) // 4


def content(application: Application) -> Content:
    """Count with a reader of our own."""
    found = Content()
    newest: dict[tuple[int, bytes], int] = {}
    for record in streamed(application.servers, application.changelog):
        kind = record.key.partition(b"|")[0]
        rows = rows_of(kind, record.value)
        found.records[kind] += 1
        found.rows[kind] += rows
        newest[record.partition, record.key] = rows
    for (_, key), rows in newest.items():
        found.kept[key.partition(b"|")[0]] += rows
    return found


class Away:
    """Kills, and how long each was felt.

    Attributes:
        read: of each restart, the changelog records read and the seconds it took.
    """

    def __init__(self, application: Application, report: Report) -> None:
        self._application = application
        self._report = report
        self._watch = Watch(application.servers, application.name, application.input, PARTITIONS)
        self._began = 0.0
        self.read: list[tuple[int, float]] = []

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.end()

    def caught_up(self) -> None:
        """Wait for it."""
        since = time.monotonic()
        until(lambda: self._watch.caught_up(since), "everything processed")

    def begin(self) -> None:
        """What was before does not count for the worst lag: the state is made."""
        self._began = time.monotonic()

    @property
    def worst_lag(self) -> int:
        """The most records left since then."""
        return self._watch.worst_lag_since(self._began)

    def going_on(self) -> None:
        """Wait until every partition has moved on from where it is."""
        self._recovery(time.monotonic(), ALL)

    def restarted(self, crew: Crew, worker: Worker, traffic: Traffic) -> tuple[float, float]:
        """Kill it; seconds from the kill, and from the start of its next process, until every partition went on."""
        killed = self._kill(crew, worker, traffic, back=True)
        seconds = self._recovery(killed, ALL)
        return seconds, killed + seconds - worker.started

    def taken_over(self, crew: Crew, worker: Worker, traffic: Traffic) -> float:
        """Kill it for good; seconds until every partition it had went on with another."""
        tasks = {int(task) for task in worker.assigned or () if task.isdigit()}
        if not tasks:
            raise RuntimeError("the worker that is to be killed has no partition")
        return self._recovery(self._kill(crew, worker, traffic, back=False), tasks)

    def _kill(self, crew: Crew, worker: Worker, traffic: Traffic, *, back: bool) -> float:
        if not traffic.producing or not self._watch.looks:
            self._report.void = "no work was left when a worker was killed"
        killed = time.monotonic()
        crew.kill(worker, back=back)
        self._report.kills += 1
        self._report.faults += 1
        return killed

    def _recovery(self, since: float, tasks: set[int]) -> float:
        end = time.monotonic() + DEADLINE_S
        until(lambda: self._watch.recovery_s(since, tasks) is not None or time.monotonic() > end, "a recovery")
        seconds = self._watch.recovery_s(since, tasks)
        if seconds is None:
            raise TimeoutError(f"partitions {sorted(tasks)} did not go on within {DEADLINE_S:g} s")
        return seconds


def make(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Make the state, then kill and look: static members first, then dynamic ones."""
    began = time.monotonic()
    report = Report(NAME, ABOUT)
    application = Application(brokers.direct, directory, DEFAULTS)
    workload = Workload(WORKLOAD.events, WORKLOAD.modules, PARTITIONS, WORKLOAD.span_s, seed=seed)
    load(settings_of(application), workload)
    traffic = Traffic(application.servers, application.input, PARTITIONS, Mix(rate=500, late=0.0, bad=0.0), seed)
    found: list[float] = []
    with Away(application, report) as away:
        try:
            for static in (True, False):
                found += _crew(application, report, away, traffic, static=static)
        finally:
            if traffic.producing:
                traffic.end()
        with Crew(application, first_number=20) as crew:
            crew.add()
            away.caught_up()
            crew.stop_all()
        report.worst_lag = away.worst_lag
    report.recovery_s, report.typical_recovery_s = max(found), sorted(found)[len(found) // 2]
    _count(application, report, away)
    report.seconds = time.monotonic() - began
    return report


def _crew(application: Application, report: Report, away: Away, traffic: Traffic, *, static: bool) -> list[float]:
    """Kill the workers of one crew; the first one makes the state before."""
    with Crew(application, static=static, first_number=0 if static else 10) as crew:
        worker = crew.add()
        joined(crew, worker)
        if not traffic.producing:
            away.caught_up()
            away.begin()
            traffic.start()
        found = _measure(report, away, crew, worker, traffic, static=static)
        codes = crew.stop_all()
        if set(codes) != {0} or crew.own_ends:
            report.unexpected_ends += 1
            report.remarks.append(f"exit codes {codes}, {crew.own_ends[:1]}")
    return found


def _measure(report: Report, away: Away, crew: Crew, worker: Worker, traffic: Traffic, *, static: bool) -> list[float]:
    name = "Static member" if static else "Dynamic member"
    found: list[float] = []
    for _ in range(RESTARTS):
        since_kill, since_start = away.restarted(crew, worker, traffic)
        found.append(since_kill)
        report.figures.append(
            f"{name}, back itself: processing {since_kill:.1f} s after the kill, {since_start:.1f} s after its start;"
            f" {_restored(away, worker)}"
        )
        # Without a static name the group waits for the dead process first; that is not the restart's own time.
        if static and since_start > MAX_RESTART_S:
            report.failure = f"{since_start:.1f} s from the start to processing, more than {MAX_RESTART_S:g}"
    other = crew.add()
    until(lambda: bool(other.assigned) and bool(worker.assigned), "both have tasks")
    away.going_on()
    seconds = away.taken_over(crew, worker, traffic)
    found.append(seconds)
    report.figures.append(f"{name}, taken over by another worker: {seconds:.1f} s after the kill")
    return found


def _restored(away: Away, worker: Worker) -> str:
    """What the process read, and how fast: from its own log. The system's task is left out: it has a changelog of its own."""
    opened = [line for line in worker.lines() if line.get("event") == "task opened" and line.get("task") != "system"]
    records = sum(int(str(line["changelog_records"])) for line in opened)
    kept = sum(int(str(line["state_records"])) for line in opened)
    # The tasks are opened at the same time, so the longest reading is that of all.
    reading = max(float(str(line["restore_seconds"])) for line in opened)
    away.read.append((records, reading))
    stamps = [datetime.fromisoformat(str(line["timestamp"])) for line in worker.lines() if "timestamp" in line]
    whole = max(datetime.fromisoformat(str(line["timestamp"])) for line in opened) - stamps[0]
    return (
        f"{records:,} changelog records read in {reading:.2f} s ({records / max(reading, 1e-3):,.0f}/s), {kept:,} of them kept;"
        f" all open {whole.total_seconds():.1f} s after its first word"
    )


def _count(application: Application, report: Report, away: Away) -> None:
    found = content(application)
    rate = sum(records for records, _ in away.read) / max(sum(seconds for _, seconds in away.read), 1e-3)
    rows = sum(found.rows.values()) / max(sum(found.records.values()), 1)
    report.figures.append(
        f"Restore reads {rate:,.0f} changelog records/s, which hold {rows:,.0f} rows each: {rate * rows:,.0f} rows/s"
    )
    windows, kept = found.rows[b"sums"] + found.rows[b"meta"], found.kept[b"sums"] + found.kept[b"meta"]
    report.figures.append(
        f"The changelog in the end: {sum(found.records.values()):,} records with {windows:,} module-window rows (a record has"
        f" up to {CHUNK_MODULES}), {found.rows[b'modules']:,} module rows and {found.rows[b'ids']:,} event ids; newest:"
        f" {kept:,} module-window rows, {found.kept[b'modules']:,} module rows, {found.kept[b'ids']:,} event ids"
    )
    consumed, there = 0, 0
    positions: dict[int, int] = {}
    for record in streamed(application.servers, application.changelog):
        if record.key == b"position":
            columns = orjson.loads(record.value)["ledger"].get(application.input, [0] * 7)
            positions[record.partition] = columns[0]
            if columns[0] != sum(columns[1:]):
                report.findings.ledger += 1
    for _ in streamed(application.servers, application.input):
        there += 1
    consumed = sum(positions.values())
    report.events = there
    report.findings.lost += max(there - consumed, 0)
    report.findings.doubled += max(consumed - there, 0)
