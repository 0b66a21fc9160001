"""One row: traffic, workers, a plan of faults, and the comparison of everything that came out with the truth."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from confluent_kafka import TopicPartition

from tests.faults.broker import Brokers
from tests.faults.crew import Application, Crew, Worker
from tests.faults.oracle import AlertRule, Truth, Windows, truth
from tests.faults.plan import Step
from tests.faults.reader import consumer, partitions_of, read, taken
from tests.faults.traffic import Mix, Traffic, wall_ms
from tests.faults.verdict import Findings, judge

POLL_S = 0.05
READY_S = 90.0
DRAIN_S = 150.0
CLOSE_S = 120.0
# How long traffic goes on after the last fault, so that recovery is seen under load.
AFTER_S = 3.0
# What lasts is not followed by another fault at once, however slow the machine is.
SETTLE_S = 5.0
CLOSER = 900
SETTINGS = {
    "windows__sizes": "1s,5s",
    "windows__grace": "500ms",
    "windows__corrections": "3s",
    "windows__idle_timeout": "1h",
    "flush_interval": "250ms",
}
WINDOWS = Windows({"1s": 1_000, "5s": 5_000}, grace=500, keep=3_500)
ALERT_RULES = (AlertRule("Failing", 0.5, 3, 0), AlertRule("KeepsFailing", 0.5, 3, 1_000))

Ending = Literal["close", "flush"]


@dataclass(frozen=True, slots=True)
class Row:
    """What to do to whom.

    Attributes:
        name: in the table. about: one sentence for the page.
        steps: the faults; `seconds` is the time of the load at least.
        ending: `close` lets silence close every window in the end and compares all finals; `flush` ends at once.
        before: done before the workers start.
        mutant: which planted bug the workers have; such a row must not be clean.
        expects_ends: whether workers may end by themselves (exit code 1 or 3), to be started again by the supervisor.
    """

    name: str
    about: str
    steps: tuple[Step, ...] = ()
    seconds: float = 40.0
    workers: int = 2
    partitions: int = 4
    mix: Mix = field(default_factory=Mix)
    settings: Mapping[str, str] = field(default_factory=dict)
    windows: Windows = WINDOWS
    ending: Ending = "close"
    static: bool = False
    proxied: bool = False
    mutant: str | None = None
    expects_ends: bool = False
    broker_late_s: float = 0.0


@dataclass(slots=True)
class Struck:
    """A fault that was done.

    Attributes:
        at, over: when it began and when it was over (monotonic).
        lag: records left then; None when the broker did not say. producing: whether more were coming.
        phase: what the worker was doing. tasks: the partitions it had.
    """

    step: Step
    at: float
    lag: int | None
    producing: bool
    phase: str
    tasks: set[int]
    over: float = 0.0

    @property
    def work_left(self) -> bool:
        return self.producing or bool(self.lag)


@dataclass(slots=True)
class Report:
    """A line of the table."""

    name: str
    about: str
    mutant: str | None = None
    seed: int = 0
    day: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")
    commit: str = "not noted"
    events: int = 0
    duplicates: int = 0
    late: int = 0
    faults: int = 0
    kills: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    own_ends: int = 0
    begun_again: int = 0
    unexpected_ends: int = 0
    recovery_s: float | None = None
    typical_recovery_s: float | None = None
    worst_lag: int = 0
    seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)
    void: str | None = None
    failure: str | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything came out right."""
        return self.findings.clean and self.void is None and self.failure is None and not self.unexpected_ends

    @property
    def as_wanted(self) -> bool:
        """Clean for the product; red, and not just void, for a mutant."""
        if self.mutant is None:
            return self.clean
        return self.void is None and (self.failure is not None or not self.findings.clean)

    @property
    def verdict(self) -> str:
        if self.void is not None:
            return "void"
        if self.mutant is not None:
            return "caught" if self.as_wanted else "NOT CAUGHT"
        return "clean" if self.clean else "RED"

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = orjson.loads(orjson.dumps(self))
        return {"verdict": self.verdict, "clean": self.clean, "as_wanted": self.as_wanted} | said


class Run:
    """Carries a row out."""

    def __init__(self, row: Row, brokers: Brokers, seed: int, directory: Path) -> None:
        self._row = row
        self._brokers = brokers
        self._seed = seed
        self._directory = directory
        self._clock = threading.Event()
        self._report = Report(row.name, row.about, row.mutant)

    def __call__(self) -> Report:
        began = time.monotonic()
        row = self._row
        settings = SETTINGS | {"topics__partitions": str(row.partitions)} | dict(row.settings)
        servers = self._brokers.workers if row.proxied else self._brokers.direct
        application = Application(self._brokers.direct, self._directory, settings, row.mutant)
        application.create_topics()
        # The harness looks directly, the workers perhaps through the proxy.
        worker_settings = {"kafka__bootstrap_servers": servers}
        try:
            self._work(application, worker_settings)
        except (AssertionError, TimeoutError, RuntimeError) as error:
            self._report.failure = f"{type(error).__name__}: {error}"
        self._report.seconds = time.monotonic() - began
        return self._report

    def _work(self, application: Application, worker_settings: Mapping[str, str]) -> None:
        row = self._row
        traffic = Traffic(application.servers, application.input, row.mix, self._seed)
        watch = self._watch(application)
        refused = False
        with Crew(application, static=row.static) as crew:
            try:
                if row.broker_late_s:
                    self._start_before_the_broker(crew, worker_settings)
                else:
                    for _ in range(row.workers):
                        crew.add(**worker_settings)
                self._until(lambda: all(w.assigned is not None for w in crew.workers), READY_S, "every worker joined")
                watch.start()
                traffic.start()
                began = time.monotonic()
                struck: list[Struck] = []
                last = began
                for step in row.steps:
                    settled = last + (SETTLE_S if step.for_s else 0.0)
                    self._wait(max(began + step.at_s, settled) - time.monotonic())
                    struck.append(self._strike(step, crew, traffic, watch, worker_settings))
                    last = struck[-1].over
                self._wait(max(began + row.seconds, last + AFTER_S) - time.monotonic())
                traffic.end()
                ended = time.monotonic()
                try:
                    self._until(lambda: watch.caught_up(ended) or crew.refused, DRAIN_S, "everything processed")
                    refused = crew.refused
                except TimeoutError as error:
                    self._report.failure = str(error)
            finally:
                if traffic.producing:
                    traffic.end()
                watch.end()
            codes = crew.stop_all()
            self._note_ends(crew, codes)
            self._note_faults(struck, watch)
            self._report.worst_lag = watch.worst_lag
        closed = row.ending == "close" and not refused and self._report.failure is None
        if refused:
            self._report.failure = f"the workers refuse to go on: {crew.refusals[-1]}"
        records = read(application.servers, application.input)
        true = truth(records, row.windows, ALERT_RULES, closed=closed)
        if closed:
            self._close(application, max_time(true, row.windows))
        self._report.events, self._report.duplicates = true.events, true.duplicates
        self._report.late = sum(map(len, true.late.values()))
        self._report.findings = judge(application, true, row.windows, closed=closed)

    def _watch(self, application: Application) -> Any:
        from tests.faults.watch import Watch

        return Watch(application.servers, application.name, application.input, self._row.partitions)

    def _wait(self, seconds: float) -> None:
        self._clock.wait(max(seconds, 0.0))

    def _until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline_s:g} s: {what}")
            self._clock.wait(POLL_S)

    # --- faults -----------------------------------------------------------------------------------------------------

    def _strike(self, step: Step, crew: Crew, traffic: Traffic, watch: Any, settings: Mapping[str, str]) -> Struck:
        worker = crew.pick(step.target)
        tasks = {int(task) for task in worker.assigned or () if task.isdigit()}
        struck = Struck(step, time.monotonic(), watch.lag, traffic.producing, worker.phase, tasks)
        if not struck.work_left:
            self._report.void = f"no work was left when {step.fault} struck at {step.at_s:g} s"
        if step.fault in ("kill", "retire"):
            struck.phase = crew.kill(worker, back=step.fault == "kill")
        elif step.fault in ("stop", "leave"):
            code = crew.stop(worker, back=step.fault == "stop")
            if code != 0:
                self._report.unexpected_ends += 1
                self._report.remarks.append(f"exit code {code} after SIGTERM in phase {struck.phase}")
        elif step.fault == "join":
            crew.add(**settings)
        elif step.fault == "freeze":
            crew.freeze(worker)
            self._wait(step.for_s)
            crew.thaw(worker)
        else:
            self._strike_broker(step)
            struck.tasks = set(range(self._row.partitions))
        struck.over = time.monotonic()
        return struck

    def _strike_broker(self, step: Step) -> None:
        if step.fault == "black-hole":
            proxy = self._brokers.proxy
            assert proxy is not None
            proxy.swallow()
            self._wait(step.for_s)
            proxy.heal()
            return
        process = self._brokers.process
        assert process is not None
        if step.fault == "broker-kill":
            process.kill()
        else:
            process.stop()
        self._wait(step.for_s)
        process.start()

    def _start_before_the_broker(self, crew: Crew, settings: Mapping[str, str]) -> None:
        process = self._brokers.process
        assert process is not None
        process.stop()
        for _ in range(self._row.workers):
            crew.add(**settings)
        self._wait(self._row.broker_late_s)
        process.start()

    # --- what is said of them ---------------------------------------------------------------------------------------

    def _note_faults(self, struck: list[Struck], watch: Any) -> None:
        report = self._report
        report.faults = len(struck)
        kills = [one for one in struck if one.step.fault in ("kill", "retire")]
        report.kills = len(kills)
        report.phases = dict(Counter(one.phase for one in kills))
        found: list[float] = []
        for one in struck:
            # A kill is recovered from since it struck, what lasts since it was over.
            seconds = watch.recovery_s(one.over if one.step.for_s else one.at, one.tasks)
            if seconds is not None:
                found.append(seconds)
        if found:
            report.recovery_s = round(max(found), 2)
            report.typical_recovery_s = round(sorted(found)[len(found) // 2], 2)

    def _note_ends(self, crew: Crew, codes: list[int]) -> None:
        report = self._report
        report.own_ends = len(crew.own_ends)
        report.begun_again = sum(worker.begun_again for worker in crew.workers)
        for code, words in crew.own_ends[:5]:
            report.remarks.append(f"a worker ended by itself with {code}: {words}")
        if not self._row.expects_ends:
            report.unexpected_ends += len(crew.own_ends)
        else:
            report.unexpected_ends += sum(1 for code, _ in crew.own_ends if code not in (1, 3))
        bad = [code for code in codes if code != 0]
        report.unexpected_ends += len(bad)
        if bad:
            report.remarks.append(f"exit codes after the last SIGTERM: {codes}")

    # --- the end ----------------------------------------------------------------------------------------------------

    def _close(self, application: Application, until_ms: int) -> None:
        """Let silence close every window: a worker with a short idle timeout, until every partition passed this time."""
        with Crew(application, first_number=CLOSER) as crew, follow(application) as reader:
            worker = crew.add(windows__idle_timeout="1s")
            self._until_passed(reader, until_ms, worker)
            codes = crew.stop_all()
            if codes != [0] or crew.own_ends:
                self._report.unexpected_ends += 1
                self._report.remarks.append(f"the worker that closed the windows: {codes} {crew.own_ends[:1]}")

    def _until_passed(self, reader: "Positions", until_ms: int, worker: Worker) -> None:
        self._until(lambda: reader.slowest_ms() >= until_ms, CLOSE_S, f"stream time {until_ms}; {worker.log}")


def max_time(true: Truth, windows: Windows) -> int:
    """When every window is closed and sealed, and alerts have seen one more."""
    ends = [start + windows.sizes[name] for _, name, start in true.last]
    return max(ends, default=wall_ms()) + windows.keep + 2 * windows.base


class Positions:
    """Follows the positions in both changelogs, from their beginning."""

    def __init__(self, application: Application) -> None:
        self._reader = consumer(application.servers)
        self._wanted = [(application.changelog, p) for p in partitions_of(self._reader, application.changelog)]
        self._wanted.append((application.system_changelog, 0))
        self._reader.assign([TopicPartition(topic, partition, 0) for topic, partition in self._wanted])
        self._streams: dict[tuple[bool, int], int] = {}
        self._input = application.input

    def slowest_ms(self) -> int:
        """Stream time of the slowest partition that ever had an event, and of the system; 0 as long as one is unknown."""
        for record in taken(self._reader, set()):
            if record.key == b"position":
                position = orjson.loads(record.value)
                module = "ids" not in position and self._input in position["offsets"]
                self._streams[module, record.partition] = position["stream_ms"] or 0
        return min(self._streams.values()) if len(self._streams) == len(self._wanted) else 0

    def close(self) -> None:
        self._reader.close()


@contextlib.contextmanager
def follow(application: Application) -> Any:
    """Positions for as long as the context lasts."""
    positions = Positions(application)
    try:
        yield positions
    finally:
        positions.close()
