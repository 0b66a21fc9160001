"""One row: traffic, workers, a plan of faults, and the comparison of everything that came out with the truth."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.broker import Brokers
from tests.faults.crew import Application, Crew, Worker
from tests.faults.judge.forwarded import Forwarding, truth_of_all_forwarded, truth_of_some_forwarded
from tests.faults.judge.kept import Kept
from tests.faults.judge.oracle import AlertRule, Truth, Windows, by_partition, truth
from tests.faults.judge.positions import Positions, follow, longest_run, max_time
from tests.faults.judge.reader import read
from tests.faults.judge.verdict import judge
from tests.faults.outcome import Report
from tests.faults.plan import Step
from tests.faults.strikes.clock import WallClock
from tests.faults.strikes.strike import BAD_IN_A_ROW, Scene, Striker
from tests.faults.strikes.waiting import until
from tests.faults.strikes.watch import Watch
from tests.faults.traffic import Mix, Traffic

READY_S = 90.0
DRAIN_S = 150.0
CLOSE_S = 120.0
# How long traffic goes on after the last fault, so that recovery is seen under load.
AFTER_S = 3.0
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
        prepare: done to the topics before the workers start; answers figures for the page.
        mutant: which planted bug the workers have; such a row must not be clean. harmless: that one must be.
        forwarding: whether events are forwarded.
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
    harmless: bool = False
    forwarding: Forwarding = "none"
    expects_ends: bool = False
    broker_late_s: float = 0.0
    prepare: Callable[[Application, int], list[str]] | None = None


class Run:
    """Carries a row out."""

    def __init__(self, row: Row, brokers: Brokers, seed: int, directory: Path) -> None:
        self._row = row
        self._brokers = brokers
        self._seed = seed
        self._clock = threading.Event()
        self._report = Report(row.name, row.about, row.mutant, row.harmless)
        settings = SETTINGS | {"topics__partitions": str(row.partitions)} | dict(row.settings)
        self._application = Application(brokers.direct, directory, settings, row.mutant)
        self._kept = Kept(brokers.direct, self._application.repartition)
        # The harness looks directly, the workers perhaps through the proxy.
        self._worker_settings = {"kafka__bootstrap_servers": brokers.workers if row.proxied else brokers.direct}

    def __call__(self) -> Report:
        began = time.monotonic()
        self._application.create_topics()
        if self._row.prepare is not None:
            self._report.figures += self._row.prepare(self._application, self._seed)
        try:
            self._work()
        except (AssertionError, TimeoutError, RuntimeError) as error:
            self._report.failure = f"{type(error).__name__}: {error}"
        self._report.seconds = time.monotonic() - began
        return self._report

    def _work(self) -> None:
        row, report, application = self._row, self._report, self._application
        traffic = Traffic(application.servers, application.input, row.partitions, row.mix, self._seed)
        self._kept.start()
        try:
            with Crew(application, static=row.static) as crew:
                refused = self._load(crew, traffic)
        finally:
            self._kept.end()
        if refused:
            report.failure = f"the workers refuse to go on: {crew.refusals[-1]}"
        closed = row.ending == "close" and report.failure is None
        report.figures += traffic.figures
        true = self._truth(traffic, closed=closed)
        if closed:
            self._close(max_time(true, row.windows))
        if any(step.fault == "bad-burst" for step in row.steps):
            letters = by_partition(letter.record for letter in true.dead.values()).values()
            self._note_run(max(longest_run(sorted(record.offset for record in found)) for found in letters))
        report.events, report.duplicates, report.late = true.events, true.duplicates, len(true.late)
        report.findings = judge(application, true, row.windows, self._kept.records(), closed=closed)

    def _load(self, crew: Crew, traffic: Traffic) -> bool:
        """Traffic and faults, until everything is processed and every worker has ended; whether the workers refuse to go on."""
        row, report = self._row, self._report
        topics = [self._application.input]
        # The input first: what was forwarded stands in the repartition topic when it is processed.
        topics += [self._application.repartition] if row.forwarding != "none" else []
        watches = [Watch(self._application.servers, self._application.name, topic, row.partitions) for topic in topics]
        scene = Scene(
            *(
                crew,
                traffic,
                watches[0],
                self._brokers,
                row.partitions,
                row.mix.rate,
                self._seed,
                self._worker_settings,
            ),
            wait=self._wait,
            wall_clock=self._wall_clock(),
        )
        striker = Striker(scene, report)
        try:
            self._start(crew)
            until(lambda: self._all_joined(crew), "every worker joined", READY_S)
            for watch in watches:
                watch.start()
            traffic.start()
            began = time.monotonic()
            last = striker.carry_out(row.steps)
            self._wait(max(began + row.seconds, last + AFTER_S) - time.monotonic())
            traffic.end()
            self._drain(crew, watches)
        finally:
            if traffic.producing:
                traffic.end()
            for watch in watches:
                watch.end()
            if row.mutant is not None and not any(worker.planted for worker in crew.workers):
                report.void = f"no worker said that the bug was planted: {crew.own_ends[-1:]}"
        refused = crew.refused
        self._note_ends(crew, crew.stop_all())
        striker.note()
        report.worst_lag = watches[0].worst_lag
        if row.proxied:
            joined = sum(worker.assignments for worker in crew.workers)
            report.figures.append(f"{joined} assignments to {len(crew.workers)} workers; one each is the least")
        return refused

    def _wall_clock(self) -> WallClock | None:
        """The workers' clock, where it steps; to be made before they start."""
        if all(step.fault != "clock-step" for step in self._row.steps):
            return None
        self._application.clock_file = self._application.directory / "clock"
        return WallClock(self._application.clock_file)

    def _start(self, crew: Crew) -> None:
        late_s, process = self._row.broker_late_s, self._brokers.process
        if late_s:
            assert process is not None
            process.stop()
        for _ in range(self._row.workers):
            crew.add(**self._worker_settings)
        if late_s and process is not None:
            self._wait(late_s)
            process.start()

    def _all_joined(self, crew: Crew) -> bool:
        """Whether every worker has joined.

        Raises:
            RuntimeError: the workers of a mutant end before the bug is planted.
        """
        if self._row.mutant is not None and crew.own_ends and not any(worker.planted for worker in crew.workers):
            raise RuntimeError(f"the workers of the mutant do not start: {crew.own_ends[-1]}")
        return all(worker.assigned is not None for worker in crew.workers)

    def _drain(self, crew: Crew, watches: list[Watch]) -> None:
        """Wait until everything is processed, or until the workers refuse; a row that fails in this is compared all the same."""
        try:
            for watch in watches:
                ended = time.monotonic()
                until(
                    lambda w=watch, e=ended: w.caught_up(e) or crew.refused,  # type: ignore[misc]
                    "everything processed",
                    DRAIN_S,
                )
        except TimeoutError as error:
            self._report.failure = str(error)

    def _wait(self, seconds: float) -> None:
        self._clock.wait(max(seconds, 0.0))

    # --- what is said of it -----------------------------------------------------------------------------------------

    def _truth(self, traffic: Traffic, *, closed: bool) -> Truth:
        """What must have come out, from the topics as they are."""
        row, application = self._row, self._application
        topics = application.input, application.repartition
        sent = read(application.servers, application.input)
        if row.forwarding == "none":
            true = truth(sent, row.windows, ALERT_RULES, traffic.bad, topic=application.input, closed=closed)
        else:
            carried = self._kept.records()
            self._report.figures.append(f"{len(carried):,} of {len(sent):,} events forwarded")
            if row.forwarding == "all":
                true = truth_of_all_forwarded(sent, carried, row.windows, ALERT_RULES, topics=topics, closed=closed)
            else:
                true = truth_of_some_forwarded(sent, carried, row.windows, topics=topics)
        true.partitions = row.partitions
        return true

    def _note_run(self, length: int) -> None:
        self._report.figures.append(f"{length:,} bad records in a row")
        if length < BAD_IN_A_ROW:
            self._report.void = f"no more than {length} bad records stood in a row"

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

    def _close(self, until_ms: int) -> None:
        """Let silence close every window: a worker with a short idle timeout, until every partition passed this time."""
        application = self._application
        with Crew(application, first_number=CLOSER) as crew, follow(application) as reader:
            worker = crew.add(windows__idle_timeout="1s")
            self._until_passed(reader, until_ms, worker)
            codes = crew.stop_all()
            if codes != [0] or crew.own_ends:
                self._report.unexpected_ends += 1
                self._report.remarks.append(f"the worker that closed the windows: {codes} {crew.own_ends[:1]}")

    def _until_passed(self, reader: Positions, until_ms: int, worker: Worker) -> None:
        until(lambda: reader.slowest_ms() >= until_ms, f"stream time {until_ms}; {worker.log}", CLOSE_S)
